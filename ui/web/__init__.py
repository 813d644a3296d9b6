"""The web UI: forms become Recipes, results become pictures. No diffusion code lives here."""
