_base_ = [
    './_base_/models/ssp_r50.py',
    './_base_/datasets/pascal5i.py',
    './_base_/schedules/schedule_6k.py',
    './_base_/default_runtime.py',
]
