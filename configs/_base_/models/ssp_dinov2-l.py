# DINOv2 ViT-L/14 (Apache-2.0), frozen: matching alone, or what a config unfreezes.
model = dict(
    type='FewShotEncoderDecoder',
    data_preprocessor=dict(
        type='FewShotDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    size_divisor=14,
    backbone=dict(
        type='HFBackbone',
        weights='facebook/dinov2-large',
        revision='47b73eefe95e8d44ec3623f8890bd894b6ea2d6c',
        config=dict(
            model_type='dinov2',
            hidden_size=1024,
            num_attention_heads=16,
            num_hidden_layers=24,
            image_size=518,
        ),
        out_indices=(24,),
    ),
    decode_head=dict(type='SSPHead', in_channels=1024, in_index=0, refine=True),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
