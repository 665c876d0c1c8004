/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/**
 * DOC: Which container a process was in
 *
 * Told from three things, and never by asking a container runtime, which may hang or be what has
 * crashed:
 *
 *   the path of the control group    runtime, id, uid of the pod. Made by the runtime, as root.
 *   /proc/PID/mountinfo              name of the container in its pod: kubelet mounts
 *                                    .../pods/UID/containers/NAME/HASH over the termination log.
 *                                    Believed only for the uid that the path has.
 *   the environment                  pod, namespace and image, where the pod's author hands them
 *                                    down (POD_NAME, POD_NAMESPACE and the like), and HOSTNAME,
 *                                    which runtimes set. The process may change it, so this is what
 *                                    it says of itself.
 *
 * Known are Docker, containerd (also under nerdctl), CRI-O and Podman, with control groups made by
 * systemd and by hand ("cgroupfs"), alone and below kubelet; systemd-nspawn; LXC. Every text is
 * checked for what it must be: ids are hexadecimal, names are those of hosts. Nothing else of a
 * path, of a mount or of an environment gets through.
 */

enum {
	CONTAINER_ID_DIGITS = 64,
	CONTAINER_TEXT_MAX = 255, ///< of an image; names of hosts have 253 at most
};

struct container {
	char runtime[16]; ///< "docker", "containerd", "cri-o", "podman", "nspawn", "lxc"
	char id[CONTAINER_ID_DIGITS + 1]; ///< hexadecimal, of the innermost container
	char machine[CONTAINER_TEXT_MAX + 1]; ///< what nspawn and LXC have instead of an id
	char pod_uid[40]; ///< "01234567-89ab-...", or 32 digits for a static pod
	char name[CONTAINER_TEXT_MAX + 1]; ///< in its pod
	char pod[CONTAINER_TEXT_MAX + 1];
	char pod_namespace[CONTAINER_TEXT_MAX + 1];
	char image[CONTAINER_TEXT_MAX + 1];
};

/// What the path of a control group says; what is unknown is "". Any process may call this.
void container_from_cgroup(const char *path, struct container *ret);
/// Adds what mounts say; @mountinfo is a text, borrowed.
void container_add_mounts(struct container *container, const char *mountinfo);
/// Adds what the environment says: @len bytes of strings that end with NULs. Nothing for a process
/// that is in no container.
void container_add_environ(struct container *container, const char *strings, size_t len);
