# What features tell of the place is projected off where images are compared
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
model = dict(decode_head=dict(debiasing=dict(type='PositionalDebiasing')))
