import Testing

@testable import ObjectStore

@Suite struct MemoryLimitTests {
  @Test(arguments: [
    ("", []),
    (
      "0::/system.slice/weir.service\n",
      [
        "/sys/fs/cgroup/system.slice/memory.max",
        "/sys/fs/cgroup/system.slice/weir.service/memory.max",
      ]
    ),
    (
      "5:cpu,cpuacct:/a\n4:memory:/weir/one\n1:name=systemd:/b\n",
      [
        "/sys/fs/cgroup/memory/weir/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/weir/one/memory.limit_in_bytes",
      ]
    ),
    ("0::/\nnonsense\n::", []),
  ])
  func `limits of a process's own control groups and of those above count`(
    groups: String, expected: [String]
  ) {
    #expect(Array(Memory.limits(groups: groups).dropFirst(2)) == expected)
  }

  @Test func `some limit there always is`() {
    #expect(Memory.available > 1 << 20)
  }
}
