_base_ = './ssp_r50_pascal5i_1shot.py'
# support prototypes alone, and none of the self-support losses
model = dict(
    decode_head=dict(_delete_=True, type='BaselineHead', in_channels=1024, in_index=0)
)
