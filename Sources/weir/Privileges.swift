internal import CLinux
import EventLoop

/// What a process may do.
enum Privileges {
  /// Becomes a user for good; nil, or why not. To be called before there is a second thread. What asks to
  /// end with the parent process has to be asked again after it.
  static func become(_ user: String) -> String? {
    let code = unsafe weir_become(user)
    if code == 0 { return nil }
    if code == ENOENT { return "user \(user): there is no such user" }
    return
      "user \(user): \(Errno(code)); a node that is to be another user's must be started as root"
  }
}
