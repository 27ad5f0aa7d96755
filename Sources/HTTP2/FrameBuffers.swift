// Where nghttp2 has its memory from. It is malloc's, but for the one large block of each session: the
// buffer for the frame that goes out, 16 KiB of which all but the first page is for content, which is sent
// from where it is instead. malloc would make that block of what OpenSSL's records have left, all of whose
// pages are there; so an idle connection cost 12 KiB for nothing (25 against 13 KiB a session, measured
// with 2,000 of them behind handshakes).
//
// So these blocks are slots of a stretch of addresses that the kernel gives memory for page by page, as it is
// touched. A slot that is free again keeps the page that it has, and is the first to be used again. When
// all slots are taken, or there are no addresses to be had, malloc does it.

internal import CLinux
internal import CNGHTTP2
internal import Synchronization

/// The memory of nghttp2's sessions. Shared by all threads; asked for a slot when a session begins and ends.
@safe
final class FrameBuffers: Sendable {
  static let shared = FrameBuffers()

  /// Bytes of a slot: nghttp2's buffer (16,394), in whole pages.
  private static let slot = 20_480
  /// What is a frame's buffer, and nothing else of nghttp2's.
  private static let sizes = 16_385...slot
  /// 1.25 GiB of addresses.
  private static let count = 65_536

  private struct Slots {
    var free: [UInt32] = []
    /// Those from here on were never used.
    var unused = 0
  }

  /// The first address; 0: there are none.
  private let start: UInt
  private let slots = Mutex(Slots())

  private init() {
    let memory = unsafe mmap(
      nil, Self.slot * Self.count, PROT_READ | PROT_WRITE,
      Int32(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE), -1, 0)
    // MAP_FAILED is all ones.
    let address = UInt(bitPattern: memory)
    start = address == .max ? 0 : address
  }

  /// What sessions are made with. nghttp2 keeps a copy.
  var functions: nghttp2_mem {
    unsafe nghttp2_mem(
      mem_user_data: nil,
      malloc: { size, _ in unsafe FrameBuffers.shared.allocate(size) },
      free: { memory, _ in unsafe FrameBuffers.shared.release(memory) },
      calloc: { count, size, _ in unsafe CLinux.calloc(count, size) },
      realloc: { memory, size, _ in unsafe FrameBuffers.shared.resize(memory, size) })
  }

  @inline(__always)
  private func index(of memory: UnsafeMutableRawPointer?) -> Int? {
    let offset = UInt(bitPattern: memory) &- start
    return offset < UInt(Self.slot * Self.count) && start != 0 ? Int(offset) / Self.slot : nil
  }

  private func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
    if Self.sizes.contains(size), let slot = unsafe takeSlot() { return unsafe slot }
    return unsafe CLinux.malloc(size)
  }

  private func takeSlot() -> UnsafeMutableRawPointer? {
    guard start != 0 else { return nil }
    let index: Int? = slots.withLock { slots in
      if let index = slots.free.popLast() { return Int(index) }
      guard slots.unused < Self.count else { return nil }
      slots.unused += 1
      return slots.unused - 1
    }
    // Within the mapping: an index is less than `count`.
    return unsafe index.flatMap {
      unsafe UnsafeMutableRawPointer(bitPattern: start + UInt($0 * Self.slot))
    }
  }

  private func release(_ memory: UnsafeMutableRawPointer?) {
    guard let index = unsafe index(of: memory) else {
      unsafe CLinux.free(memory)
      return
    }
    slots.withLock { $0.free.append(UInt32(index)) }
  }

  private func resize(
    _ memory: UnsafeMutableRawPointer?, _ size: Int
  ) -> UnsafeMutableRawPointer? {
    guard let memory = unsafe memory else { return unsafe allocate(size) }
    guard unsafe index(of: memory) != nil else { return unsafe CLinux.realloc(memory, size) }
    if size <= Self.slot { return unsafe memory }
    guard let larger = unsafe CLinux.malloc(size) else { return nil }
    // The slot is shorter than what it moves to.
    unsafe larger.copyMemory(from: memory, byteCount: Self.slot)
    unsafe release(memory)
    return unsafe larger
  }
}
