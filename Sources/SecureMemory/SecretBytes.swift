import CLinux
import COpenSSL
import Glibc

/// Why locked memory could not be had.
public enum SecureMemoryError: Error, Equatable, Sendable {
    /// The kernel refused to map or lock `bytes` bytes; `code` is errno. ENOMEM, EAGAIN and EPERM mean that RLIMIT_MEMLOCK
    /// (LimitMEMLOCK= in a unit) is too small.
    case cannotLock(bytes: Int, code: Int32)
}

/// A fixed-size region of memory for secrets.
///
/// The region is page-aligned, locked against swapping (`memfd_secret(2)` where the kernel has it, so that not even the kernel's
/// own mappings show it; else `mlock(2)`), left out of core dumps and of forked children, zero when made, and wiped when the
/// value goes. It is noncopyable, so there is one owner and one wipe.
public struct SecretBytes: ~Copyable, @unchecked Sendable {
    // Sendable: the pointer is owned by this value alone and noncopyable; whoever holds it has exclusive access.
    private let base: UnsafeMutableRawPointer
    private let mapped: Int
    /// How many bytes the owner asked for.
    public let count: Int

    /// Maps and locks at least `count` bytes of zeroes.
    ///
    /// - Parameter count: 0 or more; a zero count maps one page, so that there is always an address.
    public init(count: Int) throws(SecureMemoryError) {
        precondition(count >= 0)
        let page = SecretBytes.pageSize
        let size = max(page, (count + page - 1) / page * page)
        let address = try SecretBytes.map(size)
        self.base = address
        self.mapped = size
        self.count = count
    }

    /// Copies `bytes` into fresh locked memory. The caller remains responsible for wiping the original.
    public init(copying bytes: UnsafeRawBufferPointer) throws(SecureMemoryError) {
        try self.init(count: bytes.count)
        if let source = bytes.baseAddress { base.copyMemory(from: source, byteCount: bytes.count) }
    }

    /// Copies `bytes` into fresh locked memory. The caller remains responsible for wiping the original.
    public init(copying bytes: RawSpan) throws(SecureMemoryError) {
        try self.init(count: bytes.byteCount)
        bytes.withUnsafeBytes { source in
            if let address = source.baseAddress { base.copyMemory(from: address, byteCount: source.count) }
        }
    }

    deinit {
        explicit_bzero(base, mapped)
        munlock(base, mapped)
        munmap(base, mapped)
    }

    /// The bytes, for as long as the value is borrowed.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = RawSpan(_unsafeStart: UnsafeRawPointer(base), byteCount: count)
            return _overrideLifetime(span, borrowing: self)
        }
    }

    /// Calls `body` with the bytes.
    public borrowing func withUnsafeBytes<R: ~Copyable, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// Calls `body` with the bytes, to be written.
    public mutating func withUnsafeMutableBytes<R: ~Copyable, E: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        try body(UnsafeMutableRawBufferPointer(start: base, count: count))
    }

    /// Overwrites all bytes with zeroes.
    public mutating func wipe() { explicit_bzero(base, mapped) }

    /// A copy of the first `count` bytes in locked memory of its own.
    public borrowing func prefix(_ count: Int) throws(SecureMemoryError) -> SecretBytes {
        precondition(count >= 0 && count <= self.count)
        return try SecretBytes(copying: UnsafeRawBufferPointer(start: base, count: count))
    }

    /// The size of one page; locked memory is counted in pages.
    public static let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))

    private static func map(_ size: Int) throws(SecureMemoryError) -> UnsafeMutableRawPointer {
        if let secret = mapSecret(size) { return secret }
        guard let address = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), address != MAP_FAILED
        else { throw .cannotLock(bytes: size, code: errno) }
        guard mlock(address, size) == 0 else {
            let code = errno
            munmap(address, size)
            throw .cannotLock(bytes: size, code: code)
        }
        madvise(address, size, MADV_DONTDUMP)
        madvise(address, size, MADV_WIPEONFORK)
        return address
    }

    private static func mapSecret(_ size: Int) -> UnsafeMutableRawPointer? {
        let file = linux_memfd_secret()
        guard file >= 0 else { return nil }
        defer { close(file) }
        guard ftruncate(file, off_t(size)) == 0,
            let address = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), address != MAP_FAILED
        else { return nil }
        madvise(address, size, MADV_DONTDUMP)
        madvise(address, size, MADV_DONTFORK)
        return address
    }
}
