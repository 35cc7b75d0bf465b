# DINOv2 ViT-L/14 (Apache-2.0), frozen: matching alone, or what a config unfreezes.
_base_ = './ssp_dinov2-s.py'
model = dict(
    backbone=dict(
        weights='facebook/dinov2-large',
        revision='47b73eefe95e8d44ec3623f8890bd894b6ea2d6c',
        config=dict(
            hidden_size=1024,
            num_attention_heads=16,
            num_hidden_layers=24,
        ),
        out_indices=(24,),
    ),
    decode_head=dict(in_channels=1024),
)
