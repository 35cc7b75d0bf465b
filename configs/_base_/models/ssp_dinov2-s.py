# DINOv2 ViT-S/14 (Apache-2.0), frozen: matching alone, or what a config unfreezes.
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
        weights='facebook/dinov2-small',
        revision='ed25f3a31f01632728cabb09d1542f84ab7b0056',
        config=dict(
            model_type='dinov2',
            hidden_size=384,
            num_attention_heads=6,
            num_hidden_layers=12,
            image_size=518,
        ),
        out_indices=(12,),
    ),
    decode_head=dict(type='SSPHead', in_channels=384, in_index=0, refine=True),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
