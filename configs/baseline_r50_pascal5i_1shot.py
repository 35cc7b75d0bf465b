_base_ = './ssp_r50_pascal5i_1shot.py'
# support prototypes alone, and none of the self-support losses
model = dict(
    decode_head=dict(
        method='baseline', refine=False, loss_query_self=None, loss_support_self=None
    )
)
