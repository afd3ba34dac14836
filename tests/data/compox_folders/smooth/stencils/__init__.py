from .cross import laplacian

__all__ = ["laplacian"]
