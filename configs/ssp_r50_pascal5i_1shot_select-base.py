# The best checkpoint is the best on base classes, in images that were not trained on: the
# novel classes are seen by the test alone.
_base_ = './ssp_r50_pascal5i_1shot.py'
val_dataloader = dict(dataset=dict(split='base'))
