# What nixos-generate-config imports on a virtual machine of QEMU: its drivers.
{
  boot.initrd.availableKernelModules = [ "virtio_net" "virtio_pci" "virtio_blk" ];
  boot.initrd.kernelModules = [ "virtio_balloon" "virtio_console" "virtio_rng" ];
}
