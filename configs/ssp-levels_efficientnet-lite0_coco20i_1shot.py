# Strides 16 and 32 of the backbone count alike, at the size of the finer
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
model = dict(
    decode_head=dict(
        in_channels=[112, 192],
        in_index=[3, 0],
        input_transform='resize_concat',
        level_weights=[1, 1],
        # those of the base are for the features of one level
        presence_background=1.0,
        presence_offset=0.0,
    )
)
