# SSP whose first guess is checked the other way round
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
model = dict(
    decode_head=dict(
        memory=dict(type='SupportTokens', compared='mean', reverse_check=True)
    )
)
