"""The live demo (`vssl demo`): change the sound of a picture, and watch the map."""
