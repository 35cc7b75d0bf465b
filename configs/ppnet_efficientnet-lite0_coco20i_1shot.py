# PPNet's part prototypes (ECCV 2020), without what it learns from unlabelled images
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='BaselineHead',
        in_channels=192,
        in_index=0,
        similarity_scale=20.0,
        memory=dict(type='PartPrototypes', whole=0.8),
    )
)
