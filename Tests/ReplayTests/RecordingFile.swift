import Bytes
import EventLoop
import FoundationEssentials

/// A recording in a file that goes with it.
final class RecordingFile {
  let path: String

  init(_ text: String) throws {
    path = "/tmp/weir-replay-test-\(Random.hash128().low)"
    guard FileManager.default.createFile(atPath: path, contents: Data(text.utf8)) else {
      throw Errno(2)
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
