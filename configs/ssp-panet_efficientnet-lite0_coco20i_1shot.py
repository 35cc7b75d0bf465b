# PANet's prototypes with SSP's self-support
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
model = dict(
    decode_head=dict(similarity_scale=20.0, memory=dict(type='PixelPrototypes'))
)
