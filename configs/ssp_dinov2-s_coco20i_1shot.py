# The last two blocks are trained, the others stay as they came.
_base_ = [
    './_base_/models/ssp_dinov2-s.py',
    './_base_/datasets/coco20i.py',
    './_base_/schedules/schedule_6k.py',
    './_base_/default_runtime.py',
]
model = dict(backbone=dict(unfreeze=2), decode_head=dict(refine=False))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-5, weight_decay=0.01)
)
