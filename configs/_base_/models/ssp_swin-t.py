# Swin-T of ImageNet-1k (Apache-2.0), frozen; its third stage, of stride 16.
model = dict(
    type='FewShotEncoderDecoder',
    data_preprocessor=dict(
        type='FewShotDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    size_divisor=32,
    backbone=dict(
        type='HFBackbone',
        weights='microsoft/swin-tiny-patch4-window7-224',
        config=dict(
            model_type='swin',
            embed_dim=96,
            depths=[2, 2, 6, 2],
            num_heads=[3, 6, 12, 24],
            window_size=7,
        ),
        out_indices=(3,),
    ),
    decode_head=dict(type='SSPHead', in_channels=384, in_index=0, refine=True),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
