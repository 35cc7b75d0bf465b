# All prototypes of all shots: none is averaged away
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
train_dataloader = dict(dataset=dict(shots=5))
val_dataloader = dict(dataset=dict(shots=5))
test_dataloader = dict(dataset=dict(shots=5))
model = dict(
    decode_head=dict(memory=dict(type='PartPrototypes', parts=1, background_parts=1))
)
