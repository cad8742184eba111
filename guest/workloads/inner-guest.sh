#!/bin/sh
# Boots the inner guest of a workload: Debian's QEMU on the kernel's own KVM. Its console is standard error here, what its
# command writes is standard output here, and its status is that of the command. It has as much memory as its root file system
# wants. Usage: inner-guest [QEMU OPTION]...
#
# The second serial port carries what the machine's own second port carries to the outer guest: the init program says that it
# is up, reads what to do, and writes the command's output and status.
set -eu
folder=/root/inner
port=/tmp/inner-guest
rm -f $port.in $port.out
mkfifo -m 600 $port.in $port.out
{
  qemu-system-x86_64 -accel kvm -cpu host -machine q35 -nodefaults -no-user-config -display none -no-reboot \
    -m "$(cat $folder/mebibytes)" \
    -serial file:/dev/stderr -chardev pipe,id=second,path=$port -serial chardev:second \
    -kernel $folder/vmlinuz -initrd $folder/initrd -append "$(cat $folder/command-line)" "$@" </dev/null ||
    echo "RINGFENCE-STATUS 125" >$port.out
} &
status=125
while IFS= read -r line; do
  case $line in
    RINGFENCE-UP) cat $folder/assignment >$port.in ;;
    RINGFENCE-START) ;;
    *RINGFENCE-STATUS\ *)
      status=${line##*RINGFENCE-STATUS }
      status=${status#0}
      status=${status#0}
      break
      ;;
    ringfence-mark\ *) ringfence-mark ${line#ringfence-mark } ;;
    *) printf '%s\n' "$line" ;;
  esac
done <$port.out
wait
exit "$status"
