_base_ = [
    './_base_/models/ssp_r50.py',
    './_base_/datasets/coco20i.py',
    './_base_/schedules/schedule_6k.py',
    './_base_/default_runtime.py',
]
# refinement is part of the published PASCAL models only
model = dict(decode_head=dict(refine=False))
