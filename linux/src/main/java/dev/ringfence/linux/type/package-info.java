/** Types of C as the kernel's BTF describes them: sizes and places of members. */
package dev.ringfence.linux.type;
