// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "systemd/container.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define POD "12345678-9abc-def0-1234-56789abcdef0"
#define POD_ "12345678_9abc_def0_1234_56789abcdef0"
#define STATIC_POD "0123456789abcdef0123456789abcdef"

static void test_cgroups(void **state _unused_)
{
	static const struct {
		const char *path, *runtime, *id, *machine, *pod;
	} cases[] = {
		// alone, with systemd
		{ "/system.slice/docker-" ID ".scope", "docker", ID, "", "" },
		{ "/system.slice/docker-" ID ".scope/init.scope", "docker", ID, "", "" },
		{ "/machine.slice/libpod-" ID ".scope", "podman", ID, "", "" },
		{ "/machine.slice/libpod-" ID ".scope/container", "podman", ID, "", "" },
		{ "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID
		  ".scope/container",
		  "podman", ID, "", "" },
		{ "/system.slice/nerdctl-" ID ".scope", "containerd", ID, "", "" },
		// alone, by hand
		{ "/docker/" ID, "docker", ID, "", "" },
		{ "/libpod_parent/libpod-" ID, "podman", ID, "", "" },
		{ "/default/" ID, "", ID, "", "" },
		// kubelet with systemd
		{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_
		  ".slice/cri-containerd-" ID ".scope",
		  "containerd", ID, "", POD },
		{ "/kubepods.slice/kubepods-pod" POD_ ".slice/crio-" ID ".scope", "cri-o", ID, "",
		  POD },
		{ "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" STATIC_POD
		  ".slice/docker-" ID ".scope",
		  "docker", ID, "", STATIC_POD },
		{ "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" POD_
		  ".slice/cri-containerd-" ID ".scope",
		  "containerd", ID, "", POD },
		// kubelet by hand
		{ "/kubepods/burstable/pod" POD "/" ID, "", ID, "", POD },
		{ "/kubepods/pod" POD "/crio-" ID, "cri-o", ID, "", POD },
		{ "/kubepods-burstable-pod" POD_ ".slice:cri-containerd:" ID, "containerd", ID, "",
		  POD },
		{ "/system.slice/containerd.service/kubepods-burstable-pod" POD_
		  ".slice:cri-containerd:" ID,
		  "containerd", ID, "", POD },
		// a container in a container
		{ "/docker/" OTHER "/kubelet/kubepods/pod" POD "/" ID, "docker", ID, "", POD },
		{ "/machine.slice/systemd-nspawn@a.service/payload/docker/" ID, "docker", ID, "",
		  "" },
		// machines
		{ "/machine.slice/machine-web\\x2d1.scope/payload/system.slice/a.service", "nspawn",
		  "", "web-1", "" },
		{ "/machine.slice/systemd-nspawn@web.service/payload", "nspawn", "", "web", "" },
		{ "/lxc.payload.box/system.slice/a.service", "lxc", "", "box", "" },
		// none
		{ "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", "", "", "", "" },
		{ "/kubepods.slice/kubepods-pod" POD_ ".slice/crio-conmon-" ID ".scope", "", "", "",
		  POD },
		{ "/machine.slice/libpod-conmon-" ID ".scope", "", "", "", "" },
		{ "/system.slice/docker.service", "", "", "", "" },
		{ "/", "", "", "", "" },
		// made up
		{ "/docker/" ID "0", "", "", "", "" },
		{ "/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", "",
		  "", "", "" },
		{ "/docker/" ID ";reboot", "", "", "", "" },
		{ "/docker-" ID ".scope.scope", "", "", "", "" },
		{ "/kubepods/pod" POD "x/" ID, "", ID, "", "" },
		{ "/kubepods/pod../" ID, "", ID, "", "" },
		{ "/kubepods/pod12345678_9abc-def0-1234-56789abcdef;/" ID, "", ID, "", "" },
		{ "/machine.slice/machine-a\nb.scope", "", "", "", "" },
		{ "/machine.slice/machine-..scope", "", "", "", "" },
		{ "/machine.slice/machine-\x1b[2J.scope", "", "", "", "" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct container c;
		memset(&c, 'x', sizeof(c));
		container_from_cgroup(cases[i].path, &c);
		print_message("%s\n", cases[i].path);
		assert_string_equal(c.runtime, cases[i].runtime);
		assert_string_equal(c.id, cases[i].id);
		assert_string_equal(c.machine, cases[i].machine);
		assert_string_equal(c.pod_uid, cases[i].pod);
		assert_string_equal(c.image, "");
	}
}

static struct container pod(void)
{
	struct container c;
	container_from_cgroup("/kubepods/burstable/pod" POD "/" ID, &c);
	return c;
}

static void test_mounts(void **state _unused_)
{
	static const char mounts[] =
		"1 0 0:20 / / rw - overlay overlay rw,upperdir=/pods/" POD "/containers/no/x\n"
		"2 1 8:1 /var/lib/kubelet/pods/" POD "/etc-hosts /etc/hosts rw - ext4 /dev/sda rw\n"
		"3 1 8:1 /x /pods/" POD "/containers/nor-this/1 rw - ext4 /dev/sda rw\n"
		"4 1 8:1 /var/lib/kubelet/pods/" POD
		"/containers/my-app/0a1b2c /dev/termination-log rw - ext4 /dev/sda rw\n";
	static const char hostile[] = "4 1 8:1 /pods/" POD "/containers/a\\040b/0 /x rw\n";
	struct container c = pod();
	container_add_mounts(&c, mounts);
	assert_string_equal(c.name, "my-app");
	c = pod();
	container_add_mounts(&c, hostile);
	assert_string_equal(c.name, "");
	container_add_mounts(&c, "");
	container_add_mounts(&c, "4 1");
	container_add_mounts(&c, "4 1 8:1 /pods/" POD "/containers/");
	assert_string_equal(c.name, "");
	// Of a process in no pod, nothing is believed.
	container_from_cgroup("/docker/" ID, &c);
	container_add_mounts(&c, mounts);
	assert_string_equal(c.name, "");
}

static void add(struct container *c, const char *strings, size_t size)
{
	// Exactly as long, so that a sanitizer sees a step too far.
	char *copy = malloc(size);
	assert_non_null(copy);
	memcpy(copy, strings, size);
	container_add_environ(c, copy, size);
	free(copy);
}

static void test_environ(void **state _unused_)
{
	static const char usual[] = "HOSTNAME=web-7d4\0POD_NAMESPACE=shop\0POD_NAME=web-7d4-x\0"
				    "CONTAINER_IMAGE=reg.example:5000/a/b:1@sha256:00";
	static const char hostile[] = "POD_NAME=../x\0POD_NAMESPACE=a\nMESSAGE_ID=b\0"
				      "CONTAINER_IMAGE=\x1b[2J\0HOSTNAME=-\0POD_NAME=second\0"
				      "CONTAINER_NAME=";
	struct container c = pod();
	add(&c, usual, sizeof(usual) - 1);
	assert_string_equal(c.pod, "web-7d4-x");
	assert_string_equal(c.pod_namespace, "shop");
	assert_string_equal(c.image, "reg.example:5000/a/b:1@sha256:00");
	assert_string_equal(c.name, "");

	c = pod();
	add(&c, hostile, sizeof(hostile) - 1);
	assert_string_equal(c.pod, "");
	assert_string_equal(c.pod_namespace, "");
	assert_string_equal(c.image, "");
	assert_string_equal(c.name, "");

	container_from_cgroup("/docker/" ID, &c);
	add(&c, usual, sizeof(usual) - 1);
	assert_string_equal(c.pod_namespace, "shop");
	container_from_cgroup("/docker/" ID, &c);
	add(&c, "HOSTNAME=a", 10); // of a container is not of a pod
	assert_string_equal(c.pod, "");

	container_from_cgroup("/system.slice/a.service", &c);
	add(&c, usual, sizeof(usual) - 1);
	assert_string_equal(c.pod, "");
	assert_string_equal(c.image, "");
}

static void test_long(void **state _unused_)
{
	char text[400];
	struct container c = pod();
	memset(text, 'a', sizeof(text));
	memcpy(text, "POD_NAME=", 9);
	add(&c, text, sizeof(text));
	assert_string_equal(c.pod, "");
	add(&c, text, 9 + 253);
	assert_int_equal(strlen(c.pod), 253);
	memcpy(text, "IMAGE_NAME=", 11);
	add(&c, text, 11 + 256);
	assert_string_equal(c.image, "");
	add(&c, text, 11 + 255);
	assert_int_equal(strlen(c.image), 255);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgroups), cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_environ), cmocka_unit_test(test_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
