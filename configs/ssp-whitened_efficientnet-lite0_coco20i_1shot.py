# Prototypes in the metric in which the supports' cells are white
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
model = dict(decode_head=dict(memory=dict(type='WhitenedPrototypes')))
