# Each cell of a query by the nearest cell of its supports
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='BaselineHead',
        in_channels=192,
        in_index=0,
        memory=dict(type='SupportTokens'),
    )
)
