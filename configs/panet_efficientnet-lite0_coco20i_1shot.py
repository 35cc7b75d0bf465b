# PANet's matching (ICCV 2019), without its alignment loss
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='BaselineHead',
        in_channels=192,
        in_index=0,
        similarity_scale=20.0,
        memory=dict(type='PixelPrototypes'),
    )
)
