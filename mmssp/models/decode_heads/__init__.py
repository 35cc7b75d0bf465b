from .ssp_head import SSPHead

__all__ = ['SSPHead']
