_base_ = './ssp_r50_pascal5i_1shot.py'
train_dataloader = dict(dataset=dict(shots=5))
val_dataloader = dict(dataset=dict(shots=5))
test_dataloader = dict(dataset=dict(shots=5))
