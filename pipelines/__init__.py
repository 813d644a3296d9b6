"""What runs a request: text, the one loop, guidance, recipes and their metadata. Knows unet and xattn."""
