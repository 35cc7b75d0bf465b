# An adaptive foreground beside the adaptive background: a variant of the paper's ablation
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
model = dict(decode_head=dict(adaptive_foreground_weight=0.7))
