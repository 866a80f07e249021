"""What git and git-lfs need of pyxet: the transfer agent, and how it is registered. Clones, and who logs in there."""
