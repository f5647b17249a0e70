#include "model/cloud_init.h"

#include <gtest/gtest.h>

namespace gantry::model {
namespace {

v1::Vm vm_with_nic() {
  v1::Vm vm;
  vm.mutable_meta()->set_id("vm-4f7k2m9qzt3x");
  vm.mutable_meta()->set_name("web");
  auto* nic = vm.mutable_spec()->add_nics();
  nic->set_network("net-4f7k2m9qzt3x");
  nic->set_mac("52:54:00:00:00:01");
  return vm;
}

v1::Network nat_network() {
  v1::Network network;
  network.mutable_meta()->set_id("net-4f7k2m9qzt3x");
  network.mutable_spec()->set_kind(v1::NetworkSpec::NAT);
  return network;
}

TEST(CloudInit, MakesNothingWhenNothingIsAsked) {
  EXPECT_TRUE(cloud_init_files(vm_with_nic(), {}).empty());
  v1::Vm vm = vm_with_nic();
  vm.mutable_spec()->mutable_cloud_init();
  EXPECT_TRUE(cloud_init_files(vm, {}).empty());
}

TEST(CloudInit, NamesTheGuestAndItsCards) {
  v1::Vm vm = vm_with_nic();
  vm.mutable_spec()->add_nics();
  vm.mutable_spec()->mutable_cloud_init()->set_host_name("front");
  const auto files = cloud_init_files(vm, {nat_network()});
  EXPECT_EQ(files.at("meta-data"), "instance-id: \"vm-4f7k2m9qzt3x\"\nlocal-hostname: \"front\"\n");
  EXPECT_EQ(files.at("user-data"), "#cloud-config\nmanage_etc_hosts: localhost\nfqdn: \"front.gantry\"\n");
  EXPECT_EQ(files.at("network-config"),
            "version: 1\nconfig:\n"
            "  - type: physical\n    name: eth0\n    mac_address: \"52:54:00:00:00:01\"\n"
            "    subnets:\n      - type: dhcp\n"
            "  - type: physical\n    name: eth1\n    subnets:\n      - type: dhcp\n");
}

TEST(CloudInit, GivesKeysToTheImagesOwnUser) {
  v1::Vm vm = vm_with_nic();
  vm.mutable_spec()->mutable_cloud_init()->add_ssh_authorized_keys("ssh-ed25519 AAAA me@home");
  EXPECT_EQ(cloud_init_files(vm, {}).at("user-data"),
            "#cloud-config\nmanage_etc_hosts: localhost\n"
            "ssh_authorized_keys:\n  - \"ssh-ed25519 AAAA me@home\"\n");
}

TEST(CloudInit, MakesAUserWithSudo) {
  v1::Vm vm = vm_with_nic();
  auto* asked = vm.mutable_spec()->mutable_cloud_init();
  asked->set_user("ann");
  asked->add_ssh_authorized_keys("ssh-ed25519 AAAA");
  EXPECT_EQ(cloud_init_files(vm, {}).at("user-data"),
            "#cloud-config\nmanage_etc_hosts: localhost\nusers:\n  - name: \"ann\"\n    shell: /bin/bash\n"
            "    lock_passwd: true\n    sudo: \"ALL=(ALL) NOPASSWD:ALL\"\n"
            "    ssh_authorized_keys:\n      - \"ssh-ed25519 AAAA\"\n");
}

TEST(CloudInit, LetsRootInWhenRootIsTheUser) {
  v1::Vm vm = vm_with_nic();
  vm.mutable_spec()->mutable_cloud_init()->set_user("root");
  const std::string text = cloud_init_files(vm, {}).at("user-data");
  EXPECT_NE(text.find("disable_root: false\n"), std::string::npos);
  EXPECT_EQ(text.find("sudo"), std::string::npos);
}

TEST(CloudInit, GivesUserDataAloneAsItIs) {
  v1::Vm vm = vm_with_nic();
  vm.mutable_spec()->mutable_cloud_init()->set_user_data("#!/bin/sh\necho hello\n");
  EXPECT_EQ(cloud_init_files(vm, {}).at("user-data"), "#!/bin/sh\necho hello\n");
}

TEST(CloudInit, CombinesUserDataWithItsOwn) {
  v1::Vm vm = vm_with_nic();
  auto* asked = vm.mutable_spec()->mutable_cloud_init();
  asked->add_ssh_authorized_keys("k");
  asked->set_user_data("#!/bin/sh\n");
  EXPECT_EQ(cloud_init_files(vm, {}).at("user-data"),
            "Content-Type: multipart/mixed; boundary=\"gantry-part\"\nMIME-Version: 1.0\n\n"
            "--gantry-part\nContent-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n\n"
            "IyEvYmluL3NoCg==\n\n"
            "--gantry-part\nContent-Type: text/cloud-config; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n\n"
            "I2Nsb3VkLWNvbmZpZwptYW5hZ2VfZXRjX2hvc3RzOiBsb2NhbGhvc3QKc3NoX2F1dGhvcml6ZWRf\n"
            "a2V5czoKICAtICJrIgptZXJnZV9ob3c6ICJkaWN0KG5vX3JlcGxhY2UscmVjdXJzZV9saXN0KSts\n"
            "aXN0KGFwcGVuZCkiCg==\n\n--gantry-part--\n");
}

TEST(CloudInit, TakesABoundaryThatTheUsersMimeDoesNotHave) {
  v1::Vm vm = vm_with_nic();
  auto* asked = vm.mutable_spec()->mutable_cloud_init();
  asked->set_user("ann");
  asked->set_user_data("MIME-Version: 1.0\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n# --gantry-part--\n");
  const std::string text = cloud_init_files(vm, {}).at("user-data");
  EXPECT_NE(text.find("boundary=\"gantry-part-0\""), std::string::npos);
  EXPECT_NE(text.find("--gantry-part-0\nMIME-Version: 1.0\nContent-Type: text/x-shellscript\n"), std::string::npos);
}

TEST(YamlQuoted, KeepsEveryTextInOneScalar) {
  EXPECT_EQ(yaml_quoted("a: b\n- c"), "\"a: b\\x0a- c\"");
  EXPECT_EQ(yaml_quoted("\"\\"), R"("\"\\")");
  EXPECT_EQ(yaml_quoted("gr\xc3\xbc\xc3\x9f"), R"("gr\xfc\xdf")");
  EXPECT_EQ(yaml_quoted("\xe2\x82\xac\xf0\x9f\x90\xa7"), R"("\u20ac\U0001f427")");
  EXPECT_EQ(yaml_quoted(std::string_view("\0\x7f\xff\xc3", 4)), R"("\x00\x7f\ufffd\ufffd")");
  EXPECT_EQ(yaml_quoted("\xc0\xaf\xed\xa0\x80"), R"("\ufffd\ufffd\ufffd\ufffd\ufffd")");
}

}  // namespace
}  // namespace gantry::model
