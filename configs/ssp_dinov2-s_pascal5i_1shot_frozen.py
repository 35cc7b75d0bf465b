# Nothing is trained: test it by tools/test.py, with "none" as its checkpoint.
_base_ = './ssp_dinov2-s_pascal5i_1shot.py'
model = dict(backbone=dict(unfreeze=0))
train_dataloader = None
train_cfg = None
optim_wrapper = None
param_scheduler = None
