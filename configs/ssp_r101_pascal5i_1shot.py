_base_ = './ssp_r50_pascal5i_1shot.py'
model = dict(
    backbone=dict(
        depth=101, init_cfg=dict(checkpoint='pretrained/resnet101_v2_mmssp.pth')
    )
)
