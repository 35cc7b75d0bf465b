# DINOv2 ViT-B/14 (Apache-2.0), frozen: matching alone, or what a config unfreezes.
_base_ = './ssp_dinov2-s.py'
model = dict(
    backbone=dict(
        weights='facebook/dinov2-base',
        revision='f9e44c814b77203eaa57a6bdbbd535f21ede1415',
        config=dict(
            hidden_size=768,
            num_attention_heads=12,
        ),
    ),
    decode_head=dict(in_channels=768),
)
