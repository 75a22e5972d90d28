# What nixos-generate-config imports on hardware that it does not know. In nixpkgs it
# allows firmware to be loaded; the hosts here have no hardware of their own.
{ }
