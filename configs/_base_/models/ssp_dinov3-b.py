# DINOv3 ViT-B/16, frozen. Its weights are under the DINOv3 License, which has to be
# accepted on the page of the model before they can be downloaded.
model = dict(
    type='FewShotEncoderDecoder',
    data_preprocessor=dict(
        type='FewShotDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    size_divisor=16,
    backbone=dict(
        type='HFBackbone',
        weights='facebook/dinov3-vitb16-pretrain-lvd1689m',
        revision='5931719e67bbdb9737e363e781fb0c67687896bc',
        config=dict(
            model_type='dinov3_vit',
            hidden_size=768,
            intermediate_size=3072,
            num_attention_heads=12,
            num_hidden_layers=12,
            num_register_tokens=4,
        ),
        out_indices=(12,),
    ),
    decode_head=dict(type='SSPHead', in_channels=768, in_index=0, refine=True),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
