package dev.ringfence.machine.device.virtio;

/** A driver broke the rules of a virtqueue: the device stops and asks to be reset. */
final class VirtQueueException extends Exception {
  private static final long serialVersionUID = 1L;

  VirtQueueException(String message) {
    super(message, null, false, false);
  }
}
