# No checkpoint is selected: the last one, iter_6000.pth, is the result. Validation on base
# classes only shows how it goes.
_base_ = './ssp_r50_pascal5i_1shot.py'
val_dataloader = dict(dataset=dict(split='base'))
default_hooks = dict(checkpoint=dict(save_best=None))
