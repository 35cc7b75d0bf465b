# A query is seen flipped and at three scales; six times the time
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
model = dict(tta=dict(flip=True, scales=[1.0, 0.75, 1.25]))
