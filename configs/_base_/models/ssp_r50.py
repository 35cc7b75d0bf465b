# The published model. Its initial weights are the release's `resnet50_v2.pth`, converted
# by tools/model_converters/ssp_to_mmssp.py.
norm_cfg = dict(type='BN', requires_grad=False)
model = dict(
    type='FewShotEncoderDecoder',
    data_preprocessor=dict(
        type='FewShotDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='SSPResNetV1c',
        depth=50,
        stem_channels=128,
        num_stages=3,
        strides=(1, 2, 1),
        dilations=(1, 1, 2),
        contract_dilation=True,
        out_indices=(2,),
        frozen_stages=1,
        norm_cfg=norm_cfg,
        norm_eval=True,
        last_relu=False,
        init_cfg=dict(type='Pretrained', checkpoint='pretrained/resnet50_v2_mmssp.pth'),
    ),
    decode_head=dict(type='SSPHead', in_channels=1024, in_index=0, refine=True),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
