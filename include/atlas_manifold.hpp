// atlas_manifold for C++: all of atlas_manifold.h with C++17 types. Header only.
//
// Link
//   CMake       find_package(AtlasManifold 0.2 REQUIRED)
//               target_link_libraries(program PRIVATE AtlasManifold::cpp)
//   pkg-config  c++ -std=c++17 program.cpp $(pkg-config --cflags --libs atlas_manifold)
//
// A first program
//
//   #include <atlas_manifold.hpp>
//   #include <cstdio>
//
//   int main(int argc, char **argv) try {
//     if (argc != 2) throw std::invalid_argument("usage: first FILE");
//     const auto projection = atlas::projection::create(atlas::source::open(argv[1]));
//     const auto info = projection.info();
//     std::printf("%llu bytes, residue %u, root %s\n", (unsigned long long)info.domain_size, info.residue,
//                 projection.root().hex().c_str());
//   } catch (const std::exception &e) {
//     std::fprintf(stderr, "%s\n", e.what());
//     return 1;
//   }
//
// Handles     Handles are move-only and destroy their object. get() returns the C handle, release() passes its
//             ownership to the caller, and the explicit constructor takes ownership of a C handle. After a move from
//             a handle, every call with this handle fails with status::invalid_argument.
// Errors      x() throws atlas::error, try_x() returns an atlas::result. Without exceptions (-fno-exceptions) only
//             try_x() exists, and memory that cannot be allocated for a std:: container ends the program.
// Callbacks   Callbacks may throw. The call that ran a progress, damage or read callback throws the callback's
//             exception again, also if the call is a try_x(). The call itself is cancelled, with the effects of a
//             failure.
// Bytes       Functions that take bytes accept every contiguous container of trivially copyable elements, and
//             std::span. No byte is copied, unless the comment of a function says that it copies.
// Standards   C++17 and later. C++20 adds std::stop_token, <=> and std::ranges, C++23 conversions to std::expected.
//             Types and names are the same in all standards, so that their object files can be linked together.
//
// Each call has the ownership, thread rules, costs and statuses of the C function that its comment names.

#ifndef ATLAS_MANIFOLD_HPP
#define ATLAS_MANIFOLD_HPP

#include "atlas_manifold.h"

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#if __cplusplus < 201703L && !(defined(_MSVC_LANG) && _MSVC_LANG >= 201703L)
#error "atlas_manifold.hpp needs C++17; for older standards include atlas_manifold.h"
#endif
#if defined(__has_include)
#if __has_include(<version>)
#include <version>
#endif
#endif
#if defined(__cpp_lib_span)
#include <span>
#endif
#if defined(__cpp_lib_ranges)
#include <ranges>
#endif
#if defined(__cpp_lib_expected)
#include <expected>
#endif
#if defined(__cpp_lib_jthread)
#include <stop_token>
#endif
#if defined(__cpp_impl_three_way_comparison) && defined(__cpp_lib_three_way_comparison)
#include <compare>
#endif

/// 1 if the functions that throw are declared, else 0.
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define ATLAS_MANIFOLD_EXCEPTIONS 1
#else
#define ATLAS_MANIFOLD_EXCEPTIONS 0
#endif

/// C++ types for atlas_manifold.h.
namespace atlas {

// The same function has different bodies in object files with and without exceptions, and therefore different names.
#if ATLAS_MANIFOLD_EXCEPTIONS
inline namespace v0 {
#else
inline namespace v0_noexcept {
#endif

// ---- Enumerations ------------------------------------------------------------------------------------------------

/// Outcome of a call; atlas_status.
enum class status : std::int32_t {
    ok = ATLAS_STATUS_OK,
    invalid_argument = ATLAS_STATUS_INVALID_ARGUMENT,
    out_of_memory = ATLAS_STATUS_OUT_OF_MEMORY,
    out_of_range = ATLAS_STATUS_OUT_OF_RANGE,
    io = ATLAS_STATUS_IO,
    conservation = ATLAS_STATUS_CONSERVATION,
    witness = ATLAS_STATUS_WITNESS,
    format = ATLAS_STATUS_FORMAT,
    unsupported = ATLAS_STATUS_UNSUPPORTED,
    state = ATLAS_STATUS_STATE,
    incomplete = ATLAS_STATUS_INCOMPLETE,
    conflict = ATLAS_STATUS_CONFLICT,
    cancelled = ATLAS_STATUS_CANCELLED,
    limit = ATLAS_STATUS_LIMIT,
    internal = ATLAS_STATUS_INTERNAL,
};

/// Method of reading a file; atlas_file_io.
enum class file_io : std::uint32_t {
    read = ATLAS_FILE_IO_READ,
    mmap = ATLAS_FILE_IO_MMAP,
    automatic = ATLAS_FILE_IO_AUTO,
};

/// Transformation from bytes to witnessed payload; atlas_projection_type.
enum class projection_type : std::uint32_t {
    linear = ATLAS_PROJECTION_LINEAR,
    r96_fourier = ATLAS_PROJECTION_R96_FOURIER,
};

/// Kind of a change; atlas_change_type.
enum class change_type : std::uint32_t {
    insert = ATLAS_CHANGE_INSERT,
    update = ATLAS_CHANGE_UPDATE,
    erase = ATLAS_CHANGE_DELETE,
    move = ATLAS_CHANGE_MOVE,
};

/// Requirement on the sum of all bytes; atlas_conservation_policy.
enum class conservation_policy : std::uint32_t {
    track = ATLAS_CONSERVATION_TRACK,
    strict = ATLAS_CONSERVATION_STRICT,
};

/// Distribution of a batch over threads; atlas_parallel_strategy.
enum class parallel_strategy : std::uint32_t {
    sequential = ATLAS_PARALLEL_SEQUENTIAL,
    automatic = ATLAS_PARALLEL_DEFAULT,
    pool = ATLAS_PARALLEL_POOL,
    chunked = ATLAS_PARALLEL_CHUNKED,
    work_stealing = ATLAS_PARALLEL_WORK_STEALING,
};

/// Compression of a payload; atlas_compression_algorithm.
enum class compression_algorithm : std::uint32_t {
    none = ATLAS_COMPRESSION_NONE,
    deflate = ATLAS_COMPRESSION_DEFLATE,
    conservation_aware = ATLAS_COMPRESSION_CONSERVATION_AWARE,
    zstd = ATLAS_COMPRESSION_ZSTD,
    lz4 = ATLAS_COMPRESSION_LZ4,
    automatic = ATLAS_COMPRESSION_AUTO,
};

/// The filter before the codec; atlas_compression_filter.
enum class compression_filter : std::uint32_t {
    automatic = ATLAS_FILTER_AUTO,
    none = ATLAS_FILTER_NONE,
    planes = ATLAS_FILTER_PLANES,
};

/// Target of compression_algorithm::automatic; atlas_compression_target.
enum class compression_target : std::uint32_t {
    balanced = ATLAS_TARGET_BALANCED,
    fastest_read = ATLAS_TARGET_FASTEST_READ,
    smallest = ATLAS_TARGET_SMALLEST,
};

/// Levels of compression_config::level() that have a name.
enum class compression_level : std::uint32_t {
    fast = ATLAS_COMPRESSION_LEVEL_FAST,
    balanced = ATLAS_COMPRESSION_LEVEL_BALANCED,
    best = ATLAS_COMPRESSION_LEVEL_BEST,
};

/// Format of a benchmark report; atlas_report_format.
enum class report_format : std::uint32_t {
    text = ATLAS_REPORT_TEXT,
    json = ATLAS_REPORT_JSON,
    csv = ATLAS_REPORT_CSV,
};

/// Access of a container handle; atlas_container_mode.
enum class container_mode : std::uint32_t { read = ATLAS_CONTAINER_READ, write = ATLAS_CONTAINER_WRITE };

/// The part of an object that is damaged; atlas_damage_part.
enum class damage_part : std::uint32_t {
    data = ATLAS_DAMAGE_DATA,
    record = ATLAS_DAMAGE_RECORD,
    parity = ATLAS_DAMAGE_PARITY,
    digests = ATLAS_DAMAGE_DIGESTS,
};

/// The kind of a damage; atlas_damage_kind.
enum class damage_kind : std::uint32_t {
    differs = ATLAS_DAMAGE_DIFFERS,
    unreadable = ATLAS_DAMAGE_UNREADABLE,
    missing = ATLAS_DAMAGE_MISSING,
    unknown = ATLAS_DAMAGE_UNKNOWN,
};

/// The verdict of a check; atlas_parity_verdict.
enum class parity_verdict : std::uint32_t {
    not_known = ATLAS_PARITY_NOT_KNOWN,
    intact = ATLAS_PARITY_INTACT,
    repairable = ATLAS_PARITY_REPAIRABLE,
    incomplete = ATLAS_PARITY_INCOMPLETE,
};

/// Destination of a repair; atlas_repair_mode.
enum class repair_mode : std::uint32_t {
    new_file = ATLAS_REPAIR_NEW_FILE,
    keep = ATLAS_REPAIR_KEEP,
    in_place = ATLAS_REPAIR_IN_PLACE,
};

/// A part of the library that a build may lack; the ATLAS_FEATURE_ bits.
enum class feature : std::uint64_t {
    parallel = ATLAS_FEATURE_PARALLEL,
    compression = ATLAS_FEATURE_COMPRESSION,
    streaming = ATLAS_FEATURE_STREAMING,
    benchmarks = ATLAS_FEATURE_BENCHMARKS,
    container = ATLAS_FEATURE_CONTAINER,
    parity = ATLAS_FEATURE_PARITY,
    zstd = ATLAS_FEATURE_ZSTD,
    lz4 = ATLAS_FEATURE_LZ4,
    opencl = ATLAS_FEATURE_OPENCL,
};

// ---- The library -------------------------------------------------------------------------------------------------

/// Returns the version of the library in use, major << 16 | minor << 8 | patch; atlas_manifold_version().
inline std::uint32_t version() noexcept { return atlas_manifold_version(); }

/// The version that the program is compiled with.
inline constexpr std::uint32_t header_version = ATLAS_MANIFOLD_VERSION;

/// Returns the version of the library in use as text; atlas_manifold_version_string().
inline std::string_view version_string() noexcept { return atlas_manifold_version_string(); }

/// Returns the features of the library in use as a set of bits; atlas_manifold_features().
inline std::uint64_t features() noexcept { return atlas_manifold_features(); }

/// True if the library in use has a feature.
inline bool has(feature which) noexcept { return (features() & static_cast<std::uint64_t>(which)) != 0; }

/// Frees the buffers that the library keeps for the next call; atlas_manifold_trim().
inline void trim() noexcept { atlas_manifold_trim(); }

/// Returns the name of a status, such as "ATLAS_STATUS_WITNESS"; atlas_status_name().
inline std::string_view name(status which) noexcept { return atlas_status_name(static_cast<std::int32_t>(which)); }

// ---- Errors and results ------------------------------------------------------------------------------------------

#if defined(__GNUC__)
#define ATLAS_MANIFOLD_PUBLIC __attribute__((visibility("default")))
#define ATLAS_MANIFOLD_COLD __attribute__((noinline, cold))
#else
#define ATLAS_MANIFOLD_PUBLIC
#define ATLAS_MANIFOLD_COLD
#endif

/// A failed call: what() is the text, the other members are the numbers of atlas_error_info.
class ATLAS_MANIFOLD_PUBLIC error : public std::runtime_error {
public:
    /// Takes a status and a text.
    error(atlas::status code, const std::string &text) : std::runtime_error(text), status_(code) {}

    /// Takes the numbers of the library and a text.
    error(const atlas_error_info &info, const std::string &text)
        : std::runtime_error(text), status_(static_cast<atlas::status>(info.status)), os_error_(info.os_error),
          index_(info.index), offset_(info.offset), length_(info.length)
    {
    }

    /// The status that the call returned.
    atlas::status status() const noexcept { return status_; }
    /// The errno of the operating system or of a callback, or 0.
    int os_error() const noexcept { return os_error_; }
    /// The batch item, tile, chunk or class that failed.
    std::optional<std::uint64_t> index() const noexcept { return known(index_); }
    /// Place in the domain, or in the bytes read.
    std::optional<std::uint64_t> offset() const noexcept { return known(offset_); }
    /// Number of affected bytes from offset() on.
    std::optional<std::uint64_t> length() const noexcept { return known(length_); }

private:
    static std::optional<std::uint64_t> known(std::uint64_t number) noexcept
    {
        return number == UINT64_MAX ? std::nullopt : std::optional<std::uint64_t>(number);
    }

    atlas::status status_;
    int os_error_ = 0;
    std::uint64_t index_ = UINT64_MAX;
    std::uint64_t offset_ = UINT64_MAX;
    std::uint64_t length_ = UINT64_MAX;
};

/// Returns the calling thread's last failure; atlas_last_error_get() and atlas_last_error_message(). Its status is
/// status::ok after success.
inline error last_error()
{
    atlas_error_info info;
    std::memset(&info, 0, sizeof info);
    info.struct_size = static_cast<std::uint32_t>(sizeof info);
    info.index = info.offset = info.length = UINT64_MAX;
    (void)atlas_last_error_get(&info);
    return error(info, atlas_last_error_message());
}

/// A value, or the error of the call that should have returned it. Like std::expected, to which a result converts in
/// C++23.
template <typename T> class [[nodiscard]] result {
public:
    /// The type of the value.
    using value_type = T;

    /// Holds a value.
    result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
    /// Holds an error.
    result(atlas::error failed) : held_(std::in_place_index<1>, std::move(failed)) {}

    /// True if there is a value.
    bool has_value() const noexcept { return held_.index() == 0; }
    /// True if there is a value.
    explicit operator bool() const noexcept { return has_value(); }

    /// The value, which must exist.
    T &operator*() & noexcept { return *std::get_if<0>(&held_); }
    /// The value, which must exist.
    const T &operator*() const & noexcept { return *std::get_if<0>(&held_); }
    /// The value, which must exist.
    T &&operator*() && noexcept { return std::move(*std::get_if<0>(&held_)); }
    /// The value, which must exist.
    T *operator->() noexcept { return std::get_if<0>(&held_); }
    /// The value, which must exist.
    const T *operator->() const noexcept { return std::get_if<0>(&held_); }
    /// Returns the value, or `other` if there is none.
    template <typename U> T value_or(U &&other) &&
    {
        return has_value() ? std::move(**this) : static_cast<T>(std::forward<U>(other));
    }

    /// The error, which must exist.
    const atlas::error &error() const noexcept { return *std::get_if<1>(&held_); }

    /// The status of the call.
    atlas::status status() const noexcept { return has_value() ? atlas::status::ok : error().status(); }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// The value; throws the error if there is none.
    T value() &&
    {
        if (!has_value()) {
            raise();
        }
        return std::move(**this);
    }
    /// The value; throws the error if there is none.
    const T &value() const &
    {
        if (!has_value()) {
            raise();
        }
        return **this;
    }
#endif

    /// Calls f with the value and returns its result; an error is passed on.
    template <typename F> auto and_then(F &&f) && -> std::decay_t<decltype(f(std::declval<T>()))>
    {
        if (has_value()) {
            return std::forward<F>(f)(std::move(**this));
        }
        return error();
    }

#if defined(__cpp_lib_expected)
    /// The result as a std::expected.
    operator std::expected<T, atlas::error>() &&
    {
        if (has_value()) {
            return std::move(**this);
        }
        return std::unexpected<atlas::error>(error());
    }
#endif

private:
#if ATLAS_MANIFOLD_EXCEPTIONS
    [[noreturn]] ATLAS_MANIFOLD_COLD void raise() const { throw error(); }
#endif

    std::variant<T, atlas::error> held_;
};

/// Success, or the error of a call.
template <> class [[nodiscard]] result<void> {
public:
    /// There is no value.
    using value_type = void;

    /// Success.
    result() = default;
    /// Holds an error.
    result(atlas::error failed) : failed_(std::move(failed)) {}

    /// True after success.
    bool has_value() const noexcept { return !failed_.has_value(); }
    /// True after success.
    explicit operator bool() const noexcept { return has_value(); }
    /// The error, which must exist.
    const atlas::error &error() const noexcept { return *failed_; }
    /// The status of the call.
    atlas::status status() const noexcept { return has_value() ? atlas::status::ok : failed_->status(); }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Throws the error if the call failed.
    void value() const
    {
        if (!has_value()) {
            raise();
        }
    }
#endif

#if defined(__cpp_lib_expected)
    /// The result as a std::expected.
    operator std::expected<void, atlas::error>() const
    {
        if (has_value()) {
            return {};
        }
        return std::unexpected<atlas::error>(error());
    }
#endif

private:
#if ATLAS_MANIFOLD_EXCEPTIONS
    [[noreturn]] ATLAS_MANIFOLD_COLD void raise() const { throw *failed_; }
#endif

    std::optional<atlas::error> failed_;
};

// ---- Bytes and lists ---------------------------------------------------------------------------------------------

namespace detail {

template <typename C> using element_of = std::remove_pointer_t<decltype(std::data(std::declval<C &>()))>;

// True for contiguous containers of trivially copyable elements that are not pointers. String literals are excluded,
// because their terminating NUL byte would count as data.
template <typename C, typename = void> struct holds_bytes : std::false_type {};
template <typename C>
struct holds_bytes<C, std::void_t<element_of<C>, decltype(std::size(std::declval<C &>()))>>
    : std::bool_constant<std::is_trivially_copyable_v<element_of<C>> && !std::is_pointer_v<element_of<C>> &&
                         !(std::is_array_v<C> && std::is_same_v<std::remove_cv_t<element_of<C>>, char>)> {};

template <typename C, typename = void> struct holds_writable_bytes : std::false_type {};
template <typename C>
struct holds_writable_bytes<C, std::enable_if_t<holds_bytes<C>::value>>
    : std::bool_constant<!std::is_const_v<element_of<C>>> {};

// True for contiguous containers with elements of type T.
template <typename C, typename T, typename = void> struct holds : std::false_type {};
template <typename C, typename T>
struct holds<C, T, std::void_t<element_of<C>, decltype(std::size(std::declval<C &>()))>>
    : std::is_same<std::remove_cv_t<element_of<C>>, std::remove_cv_t<T>> {};

} // namespace detail

/// Borrowed bytes for reading: a pointer and a size. A contiguous container converts to it.
class bytes_view {
public:
    /// No bytes.
    bytes_view() = default;
    /// `size` bytes at `data`.
    bytes_view(const void *data, std::size_t size) noexcept : data_(static_cast<const std::uint8_t *>(data)), size_(size)
    {
    }
    /// The bytes of a container.
    template <typename C, std::enable_if_t<detail::holds_bytes<const C>::value, int> = 0>
    bytes_view(const C &from) noexcept
        : bytes_view(static_cast<const void *>(std::data(from)), std::size(from) * sizeof(detail::element_of<const C>))
    {
    }

    /// The first byte; may be NULL if there is none.
    const std::uint8_t *data() const noexcept { return data_; }
    /// Number of bytes.
    std::size_t size() const noexcept { return size_; }
    /// True if there is no byte.
    bool empty() const noexcept { return size_ == 0; }
    /// The first byte.
    const std::uint8_t *begin() const noexcept { return data_; }
    /// Behind the last byte.
    const std::uint8_t *end() const noexcept { return data_ + size_; }
    /// Byte `at`, which must exist.
    const std::uint8_t &operator[](std::size_t at) const noexcept { return data_[at]; }
    /// `length` bytes from `from` on, which must exist.
    bytes_view part(std::size_t from, std::size_t length) const noexcept
    {
        assert(from <= size_ && length <= size_ - from);
        return {data_ + from, length};
    }

#if defined(__cpp_lib_span)
    /// The bytes as a std::span.
    std::span<const std::uint8_t> span() const noexcept { return {data_, size_}; }
#endif

    /// True if both have the same bytes.
    friend bool operator==(bytes_view left, bytes_view right) noexcept
    {
        return left.size_ == right.size_ && (left.size_ == 0 || std::memcmp(left.data_, right.data_, left.size_) == 0);
    }
    /// True if they differ.
    friend bool operator!=(bytes_view left, bytes_view right) noexcept { return !(left == right); }

private:
    const std::uint8_t *data_ = nullptr;
    std::size_t size_ = 0;
};

/// Borrowed memory for writing: a pointer and a size. A contiguous container converts to it.
class bytes_span {
public:
    /// No bytes.
    bytes_span() = default;
    /// `size` bytes at `data`.
    bytes_span(void *data, std::size_t size) noexcept : data_(static_cast<std::uint8_t *>(data)), size_(size) {}
    /// The whole memory of a container.
    template <typename C, std::enable_if_t<detail::holds_writable_bytes<std::remove_reference_t<C>>::value, int> = 0>
    bytes_span(C &&to) noexcept
        : bytes_span(static_cast<void *>(std::data(to)), std::size(to) * sizeof(detail::element_of<std::remove_reference_t<C>>))
    {
    }

    /// The first byte; may be NULL if there is none.
    std::uint8_t *data() const noexcept { return data_; }
    /// Number of bytes.
    std::size_t size() const noexcept { return size_; }
    /// True if there is no byte.
    bool empty() const noexcept { return size_ == 0; }
    /// The first byte.
    std::uint8_t *begin() const noexcept { return data_; }
    /// Behind the last byte.
    std::uint8_t *end() const noexcept { return data_ + size_; }

private:
    std::uint8_t *data_ = nullptr;
    std::size_t size_ = 0;
};

/// Borrowed objects for reading, contiguous in memory. A vector, an array or a list in braces
/// converts to it.
template <typename T> class list_view {
public:
    /// No objects.
    list_view() = default;
    /// `size` objects at `data`.
    list_view(const T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    /// The objects of a container.
    template <typename C, std::enable_if_t<detail::holds<const C, T>::value, int> = 0>
    list_view(const C &from) noexcept : data_(std::data(from)), size_(std::size(from))
    {
    }
    /// The objects of a list in braces, which lives as long as the call.
    list_view(std::initializer_list<T> from) noexcept : list_view(from.begin(), from.size()) {}

    /// The first object; may be NULL if there is none.
    const T *data() const noexcept { return data_; }
    /// Number of objects.
    std::size_t size() const noexcept { return size_; }
    /// The first object.
    const T *begin() const noexcept { return data_; }
    /// Behind the last object.
    const T *end() const noexcept { return data_ + size_; }

private:
    const T *data_ = nullptr;
    std::size_t size_ = 0;
};

/// A part of a domain: length bytes from offset on.
using region = atlas_region;

/// Regions of a domain, in any order. The default is the whole domain.
class regions {
public:
    /// The whole domain.
    regions() = default;
    /// The regions of a container, of which there may be none.
    template <typename C, std::enable_if_t<detail::holds<const C, region>::value, int> = 0>
    regions(const C &from) noexcept : regions(std::data(from), std::size(from))
    {
    }
    /// The regions of a list in braces, which lives as long as the call.
    regions(std::initializer_list<region> from) noexcept : regions(from.begin(), from.size()) {}
    /// `size` regions at `data`.
    regions(const region *data, std::size_t size) noexcept : data_(size == 0 ? none() : data), size_(size) {}

    /// The first region; NULL means the whole domain.
    const region *data() const noexcept { return data_; }
    /// Number of regions.
    std::size_t size() const noexcept { return size_; }

private:
    // Stands for an empty list, because NULL would mean the whole domain.
    static const region *none() noexcept
    {
        static const region nothing = {0, 0};
        return &nothing;
    }

    const region *data_ = nullptr;
    std::size_t size_ = 0;
};

/// A path: bytes on Unix, UTF-8 on Windows. A string and a std::filesystem::path convert to it.
class path_view {
public:
    /// A text that a zero byte ends; borrowed.
    path_view(const char *text) noexcept : text_(text == nullptr ? "" : text) {}
    /// A text; borrowed. A text with a zero byte, which no path contains, names no file.
    path_view(const std::string &text) noexcept
        : text_(text.find('\0') == std::string::npos ? text.c_str() : "")
    {
    }
    /// A text; copied.
    path_view(std::string_view text) : path_view(std::string(text), 0) {}
    /// A std::filesystem::path.
    template <typename P, typename = std::void_t<decltype(std::declval<const P &>().native()),
                                                 decltype(std::declval<const P &>().lexically_normal())>>
    path_view(const P &path)
        : path_view(text_of(path.u8string()), 0)
    {
    }

    /// The text, which a zero byte ends.
    const char *c_str() const noexcept { return text_ == nullptr ? own_.c_str() : text_; }

private:
    path_view(std::string own, int) : own_(std::move(own)), text_(own_.find('\0') == std::string::npos ? nullptr : "")
    {
    }
    template <typename S> static std::string text_of(const S &text) { return std::string(text.begin(), text.end()); }

    std::string own_;
    const char *text_ = nullptr; // NULL: the own text
};

/// Bytes that the library allocated; atlas_buffer. Freed by atlas_buffer_free().
class buffer {
public:
    /// No bytes.
    buffer() = default;
    /// Takes over the bytes of a C buffer that a function of the library filled in.
    explicit buffer(atlas_buffer taken) noexcept : held_(taken) {}
    /// Takes over the bytes of another buffer.
    buffer(buffer &&other) noexcept : held_(other.release()) {}
    /// Takes over the bytes of another buffer.
    buffer &operator=(buffer &&other) noexcept
    {
        if (this != &other) {
            atlas_buffer_free(&held_);
            held_ = other.release();
        }
        return *this;
    }
    /// Frees the bytes.
    ~buffer()
    {
        if (held_.data != nullptr) {
            atlas_buffer_free(&held_);
        }
    }

    /// The first byte; NULL if there is none.
    std::uint8_t *data() noexcept { return held_.data; }
    /// The first byte; NULL if there is none.
    const std::uint8_t *data() const noexcept { return held_.data; }
    /// Number of bytes.
    std::size_t size() const noexcept { return held_.size; }
    /// True if there is no byte.
    bool empty() const noexcept { return held_.size == 0; }
    /// The first byte.
    const std::uint8_t *begin() const noexcept { return held_.data; }
    /// Behind the last byte.
    const std::uint8_t *end() const noexcept { return held_.data + held_.size; }
    /// Byte `at`, which must exist.
    std::uint8_t &operator[](std::size_t at) noexcept { return held_.data[at]; }
    /// Byte `at`, which must exist.
    const std::uint8_t &operator[](std::size_t at) const noexcept { return held_.data[at]; }
    /// The same bytes as text.
    std::string_view text() const noexcept { return {reinterpret_cast<const char *>(held_.data), held_.size}; }

    /// The C buffer.
    const atlas_buffer &get() const noexcept { return held_; }
    /// Passes the ownership of the C buffer to the caller, who frees it with atlas_buffer_free().
    atlas_buffer release() noexcept { return std::exchange(held_, atlas_buffer{nullptr, 0}); }

private:
    atlas_buffer held_ = {nullptr, 0};
};

/// 32 bytes of BLAKE3: a root, a witness or a history.
class digest {
public:
    /// All zeros.
    constexpr digest() noexcept : bytes_{} {}
    /// A copy of 32 bytes.
    constexpr digest(const std::array<std::uint8_t, 32> &from) noexcept : bytes_(from) {}
    /// A copy of 32 bytes.
    explicit digest(const std::uint8_t (&from)[32]) noexcept { std::memcpy(bytes_.data(), from, 32); }

    /// BLAKE3-256 of bytes; atlas_digest256().
    static digest of(bytes_view bytes) noexcept
    {
        digest made;
        atlas_digest256(bytes.data(), bytes.size(), made.data());
        return made;
    }
    /// Returns the digest written as 64 hexadecimal digits. Empty if `text` is anything else.
    static std::optional<digest> from_hex(std::string_view text) noexcept
    {
        digest made;
        if (text.size() != 64) {
            return std::nullopt;
        }
        for (std::size_t i = 0; i < 64; i++) {
            const int digit = value_of(text[i]);
            if (digit < 0) {
                return std::nullopt;
            }
            made.bytes_[i / 2] = static_cast<std::uint8_t>(made.bytes_[i / 2] * 16 + digit);
        }
        return made;
    }

    /// 64 hexadecimal digits in lower case.
    std::string hex() const
    {
        static constexpr char digits[] = "0123456789abcdef";
        std::string text(64, '0');
        for (std::size_t i = 0; i < 32; i++) {
            text[2 * i] = digits[bytes_[i] / 16];
            text[2 * i + 1] = digits[bytes_[i] % 16];
        }
        return text;
    }

    /// The first byte.
    constexpr const std::uint8_t *data() const noexcept { return bytes_.data(); }
    /// The first byte.
    constexpr std::uint8_t *data() noexcept { return bytes_.data(); }
    /// Number of bytes, 32.
    static constexpr std::size_t size() noexcept { return 32; }
    /// The first byte.
    constexpr const std::uint8_t *begin() const noexcept { return data(); }
    /// Behind the last byte.
    constexpr const std::uint8_t *end() const noexcept { return data() + 32; }
    /// Byte `at`, less than 32.
    constexpr std::uint8_t operator[](std::size_t at) const noexcept { return bytes_[at]; }

    /// A hash for tables: the first bytes of the digest, which are uniformly distributed.
    std::size_t hash() const noexcept
    {
        std::size_t made = 0;
        std::memcpy(&made, data(), sizeof made);
        return made;
    }

    /// True if the bytes are the same. The comparison does not take constant time.
    friend bool operator==(const digest &left, const digest &right) noexcept { return left.compare(right) == 0; }
#if defined(__cpp_impl_three_way_comparison) && defined(__cpp_lib_three_way_comparison)
    /// Ordered as their hexadecimal digits are.
    friend std::strong_ordering operator<=>(const digest &left, const digest &right) noexcept
    {
        return left.compare(right) <=> 0;
    }
#else
    /// True if they differ.
    friend bool operator!=(const digest &left, const digest &right) noexcept { return left.compare(right) != 0; }
    /// Ordered as their hexadecimal digits are.
    friend bool operator<(const digest &left, const digest &right) noexcept { return left.compare(right) < 0; }
    /// Ordered as their hexadecimal digits are.
    friend bool operator>(const digest &left, const digest &right) noexcept { return left.compare(right) > 0; }
    /// Ordered as their hexadecimal digits are.
    friend bool operator<=(const digest &left, const digest &right) noexcept { return left.compare(right) <= 0; }
    /// Ordered as their hexadecimal digits are.
    friend bool operator>=(const digest &left, const digest &right) noexcept { return left.compare(right) >= 0; }
#endif

    /// Writes the 64 digits.
    template <typename Char, typename Traits>
    friend std::basic_ostream<Char, Traits> &operator<<(std::basic_ostream<Char, Traits> &out, const digest &from)
    {
        return out << from.hex().c_str();
    }

private:
    int compare(const digest &other) const noexcept { return std::memcmp(data(), other.data(), 32); }
    static int value_of(char digit) noexcept
    {
        return digit >= '0' && digit <= '9'   ? digit - '0'
               : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
               : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                              : -1;
    }

    std::array<std::uint8_t, 32> bytes_;
};

/// A secret of 32 bytes for keyed digests. Wiped when it is destroyed, and never printed.
class secret_key {
public:
    /// A copy of 32 bytes.
    explicit secret_key(const std::array<std::uint8_t, 32> &from) noexcept : bytes_(from) {}
    /// A copy of 32 bytes.
    explicit secret_key(const std::uint8_t (&from)[32]) noexcept { std::memcpy(bytes_.data(), from, 32); }
    /// A copy.
    secret_key(const secret_key &) = default;
    /// A copy.
    secret_key &operator=(const secret_key &) = default;
    /// Wipes the bytes.
    ~secret_key()
    {
        for (volatile std::uint8_t &byte : bytes_) {
            byte = 0;
        }
    }
    /// The first byte.
    const std::uint8_t *data() const noexcept { return bytes_.data(); }

private:
    std::array<std::uint8_t, 32> bytes_{};
};

// ---- How a call runs ---------------------------------------------------------------------------------------------

/// Progress of a call; atlas_progress.
struct progress_state {
    std::uint64_t bytes_done;   ///< Bytes of work done.
    std::uint64_t bytes_total;  ///< Total bytes of work; 0: unknown.
    std::uint64_t chunks_done;  ///< Tiles, chunks, regions, shards or cases done.
    std::uint64_t chunks_total; ///< Total number of tiles, chunks, regions, shards or cases.
};

/// One damaged range; atlas_damage.
struct damage {
    damage_part part;         ///< The part that the range belongs to.
    damage_kind kind;         ///< Kind of the damage.
    bool repairable;          ///< True if the range can be rebuilt from available bytes.
    int os_error;             ///< Error number of the operating system, or 0.
    std::uint64_t generation; ///< Generation of the container; 0: none.
    std::uint64_t index;      ///< The first tile, record, unit or block.
    std::uint64_t offset;     ///< Offset of the first byte: in the domain or the protected file for damage_part::data.
    std::uint64_t length;     ///< Length of the range in bytes.
};

/// A function that receives an event and may return false to refuse it. A function that returns void accepts every
/// event.
template <typename Told> class callback {
public:
    /// No function.
    callback() = default;
    /// No function.
    callback(std::nullptr_t) noexcept {}
    /// Takes a function, a lambda or a function object.
    template <typename F, std::enable_if_t<std::is_invocable_v<F &, const Told &> &&
                                               !std::is_same_v<std::decay_t<F>, callback>, int> = 0>
    callback(F &&f) : call_(whole(std::forward<F>(f)))
    {
    }

    /// True if there is a function.
    explicit operator bool() const noexcept { return static_cast<bool>(call_); }
    /// Calls the function.
    bool operator()(const Told &told) const { return call_(told); }

private:
    template <typename F> static std::function<bool(const Told &)> whole(F &&f)
    {
        if constexpr (std::is_void_v<std::invoke_result_t<F &, const Told &>>) {
            return [f = std::decay_t<F>(std::forward<F>(f))](const Told &told) mutable {
                f(told);
                return true;
            };
        } else {
            return std::forward<F>(f);
        }
    }

    std::function<bool(const Told &)> call_;
};

/// Receives each damaged range; atlas_damage_fn defines the meaning of false.
using damage_callback = callback<damage>;
/// Receives the progress of a call; false cancels.
using progress_callback = callback<progress_state>;

namespace detail {

/// Owns a C handle.
template <typename T, void (*destroy)(T *)> class handle {
public:
    /// The C type.
    using handle_type = T;

    /// Owns nothing.
    handle() = default;
    /// Takes over a C handle.
    explicit handle(T *taken) noexcept : held_(taken) {}
    /// Takes over what another handle owns.
    handle(handle &&other) noexcept : held_(other.release()) {}
    /// Takes over what another handle owns.
    handle &operator=(handle &&other) noexcept
    {
        reset(other.release());
        return *this;
    }
    /// Destroys the object it owns.
    ~handle() { reset(); }

    /// The C handle, which stays owned; NULL after a move.
    T *get() const noexcept { return held_; }
    /// Passes the ownership of the C handle to the caller.
    [[nodiscard]] T *release() noexcept { return std::exchange(held_, nullptr); }
    /// Destroys the object it owns, and takes over another C handle.
    void reset(T *taken = nullptr) noexcept
    {
        T *old = std::exchange(held_, taken);
        if (old != nullptr && old != taken) {
            destroy(old);
        }
    }
    /// True if this handle owns an object.
    explicit operator bool() const noexcept { return held_ != nullptr; }

private:
    T *held_ = nullptr;
};

template <typename S> S sized() noexcept
{
    S made;
    std::memset(&made, 0, sizeof made);
    made.struct_size = static_cast<std::uint32_t>(sizeof made);
    return made;
}

template <typename E> constexpr std::uint32_t number(E value) noexcept { return static_cast<std::uint32_t>(value); }

// Runs f. An exception of f is stored in `thrown` and goes no further.
template <typename F> bool guarded(std::exception_ptr &thrown, F &&f) noexcept
{
#if ATLAS_MANIFOLD_EXCEPTIONS
    try {
        return f();
    } catch (...) {
        thrown = std::current_exception();
        return false;
    }
#else
    (void)thrown;
    return f();
#endif
}

// Exceptions of read callbacks, on any thread. A callback that threw returns an error number of its own, far above
// those of the system. The failure of the call has this number, so that the call finds the exception that made it fail.
class thrown_by_readers {
public:
    static constexpr int first_number = 0x41540000;

    static thrown_by_readers &all()
    {
        // Never destroyed: sources may be released at the very end of the program.
        static thrown_by_readers *const made = new thrown_by_readers;
        return *made;
    }
    // Keeps an exception of a reader. `number` is the reader's number, 0 before its first exception.
    int keep(int number, std::exception_ptr thrown)
    {
        const std::lock_guard<std::mutex> locked(lock_);
        if (number == 0) {
            number = next_;
            next_ = next_ == INT32_MAX ? first_number : next_ + 1;
        }
        kept_[number] = std::move(thrown);
        return number;
    }
    void forget(int number)
    {
        const std::lock_guard<std::mutex> locked(lock_);
        kept_.erase(number);
    }
    std::exception_ptr find(int number)
    {
        if (number < first_number) {
            return nullptr;
        }
        const std::lock_guard<std::mutex> locked(lock_);
        const auto found = kept_.find(number);
        return found == kept_.end() ? nullptr : found->second;
    }

private:
    std::mutex lock_;
    std::map<int, std::exception_ptr> kept_;
    int next_ = first_number;
};

} // namespace detail

namespace detail {
class call;
} // namespace detail

/// Choice of an OpenCL device; atlas_accelerator_options.
class accelerator_options {
public:
    /// The first GPU; atlas_accelerator_options_init().
    accelerator_options() noexcept { atlas_accelerator_options_init(&c_); }
    /// A device of any kind with this text in its name or that of its platform, in any case.
    accelerator_options &name(std::string_view part)
    {
        name_ = std::string(part);
        named_ = true;
        return *this;
    }
    /// One of several such devices, from 0.
    accelerator_options &index(std::uint32_t number) noexcept
    {
        c_.index = number;
        return *this;
    }
    /// The program's own cl_context and cl_device_id, in place of a name; buffers of that context can be sources.
    accelerator_options &context(void *cl_context, void *cl_device) noexcept
    {
        c_.cl_context = cl_context;
        c_.cl_device = cl_device;
        return *this;
    }
    /// Bytes of device memory; 0: a quarter of it, at most 1 GiB.
    accelerator_options &memory_limit(std::uint64_t bytes) noexcept
    {
        c_.memory_limit = bytes;
        return *this;
    }
    /// The C struct, which is good as long as this object.
    atlas_accelerator_options raw() const noexcept
    {
        auto made = c_;
        made.name = named_ ? name_.c_str() : nullptr;
        return made;
    }

private:
    atlas_accelerator_options c_;
    // With a flag: of an optional string GCC 12 with sanitizers warns that it may be uninitialized.
    std::string name_;
    bool named_ = false;
};

/// Properties of the device of a pool; atlas_accelerator_info.
struct accelerator_info {
    std::string name;            ///< Name of the device.
    std::uint32_t compute_units; ///< Number of its compute units.
    std::uint64_t memory_size;   ///< Bytes of its memory.
    std::uint64_t bytes_hashed;  ///< Bytes that it has hashed since the pool was made.
};

/// Pool of worker threads that the program creates; atlas_pool.
class pool : public detail::handle<atlas_pool, atlas_pool_destroy> {
public:
    using handle::handle;

    /// Like create(), but returns the error in the result instead of throwing.
    static result<pool> try_create(std::uint32_t threads = 0)
    {
        atlas_pool *made = nullptr;
        if (atlas_pool_create(threads, &made) != ATLAS_STATUS_OK) {
            return last_error();
        }
        return pool(made);
    }
    /// create_accelerated() with the error in the result.
    static result<pool> try_create_accelerated(const accelerator_options &device = {}, std::uint32_t threads = 0)
    {
        const auto options = device.raw();
        atlas_pool *made = nullptr;
        if (atlas_pool_create_accelerated(threads, &options, &made) != ATLAS_STATUS_OK) {
            return last_error();
        }
        return pool(made);
    }
    /// accelerator() with the error in the result.
    result<accelerator_info> try_accelerator() const
    {
        atlas_accelerator_info info{};
        info.struct_size = sizeof info;
        if (atlas_pool_get_accelerator(get(), &info) != ATLAS_STATUS_OK) {
            return last_error();
        }
        return accelerator_info{info.name, info.compute_units, info.memory_size, info.bytes_hashed};
    }
    /// Returns the number of tasks that can run at a time; atlas_pool_threads().
    std::uint32_t threads() const noexcept { return atlas_pool_threads(get()); }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Starts a pool of `threads` threads, 0 for one per core; atlas_pool_create().
    static pool create(std::uint32_t threads = 0) { return try_create(threads).value(); }
    /// Starts threads, beside which an OpenCL device hashes tiles; atlas_pool_create_accelerated().
    ///
    ///     auto pool = atlas::pool::create_accelerated(atlas::accelerator_options().name("NVIDIA"));
    static pool create_accelerated(const accelerator_options &device = {}, std::uint32_t threads = 0)
    {
        return try_create_accelerated(device, threads).value();
    }
    /// Properties of the device; atlas_pool_get_accelerator().
    accelerator_info accelerator() const { return try_accelerator().value(); }
#endif
};

/// Settings of a long call; atlas_operation. The default is the library's own pool, no progress and no limit.
///
///     p.verify(atlas::operation{}.threads(4).progress([](auto &at) { std::printf("%g\n", at.bytes_done / 1e6); }));
class operation {
public:
    /// Runs on `count` threads. They start here and end with the last copy of the operation. 1 means the calling thread
    /// alone.
    operation &threads(std::uint32_t count)
    {
        auto made = atlas::pool::try_create(count);
        own_.reset();
        failed_.reset();
        if (made) {
            own_ = std::make_shared<const atlas::pool>(*std::move(made));
            pool_ = own_->get();
        } else {
            failed_ = std::make_shared<const atlas::error>(made.error());
        }
        return *this;
    }
    /// Runs on a pool, which must outlive the operation.
    operation &pool(const atlas::pool &on) noexcept
    {
        own_.reset();
        failed_.reset();
        pool_ = on.get();
        return *this;
    }
    /// Does not compile for a temporary pool, which would not outlive the operation.
    operation &pool(const atlas::pool &&) = delete;
    /// Maximum number of bytes that the library may allocate during the call; 0 means no limit.
    operation &memory_limit(std::uint64_t bytes) noexcept
    {
        memory_limit_ = bytes;
        return *this;
    }
    /// Reports the progress to a function, on the thread that makes the call.
    operation &progress(progress_callback told)
    {
        progress_ = std::move(told);
        return *this;
    }
    /// Cancels the call when `asked` returns true. It is called whenever progress is reported.
    operation &stop_when(std::function<bool()> asked)
    {
        stop_ = std::move(asked);
        return *this;
    }
#if defined(__cpp_lib_jthread)
    /// Cancels the call when a stop is requested. The token is checked whenever progress is reported.
    operation &stop_token(std::stop_token token)
    {
        return stop_when([token = std::move(token)] { return token.stop_requested(); });
    }
#endif

    /// True if every setting is the default.
    bool plain() const noexcept
    {
        return pool_ == nullptr && memory_limit_ == 0 && !progress_ && !stop_ && !failed_;
    }
    /// The error of threads(), or NULL. A call returns it.
    const atlas::error *failed() const noexcept { return failed_.get(); }

private:
    friend class detail::call;

    std::shared_ptr<const atlas::pool> own_;
    std::shared_ptr<const atlas::error> failed_;
    const atlas_pool *pool_ = nullptr;
    std::uint64_t memory_limit_ = 0;
    progress_callback progress_;
    std::function<bool()> stop_;
};

namespace detail {

/// One call: the C operation, and the exception of a callback until the call is over.
class call {
public:
    explicit call(const operation &from) noexcept : from_(from)
    {
        if (from.plain()) {
            return;
        }
        atlas_operation_init(&c_);
        c_.pool = from.pool_;
        c_.memory_limit = from.memory_limit_;
        if (from.progress_ || from.stop_) {
            c_.progress = told;
            c_.user_data = this;
        }
    }
    call(const call &) = delete;
    call &operator=(const call &) = delete;

    // The operation for C.
    const atlas_operation *c() const noexcept { return from_.plain() ? nullptr : &c_; }

    // The error of a call that failed; throws a callback's exception instead.
    ATLAS_MANIFOLD_COLD static error failure()
    {
        error failed = last_error();
#if ATLAS_MANIFOLD_EXCEPTIONS
        if (failed.os_error() >= thrown_by_readers::first_number) {
            if (auto thrown = thrown_by_readers::all().find(failed.os_error())) {
                std::rethrow_exception(std::move(thrown));
            }
        }
#endif
        return failed;
    }

    // Runs f with the C operation. f returns a status.
    template <typename F> result<void> run(F &&f)
    {
        if (from_.failed() != nullptr) {
            return *from_.failed();
        }
        const atlas_status given = f(c());
        rethrow();
        if (given != ATLAS_STATUS_OK) {
            return failure();
        }
        return {};
    }
    // Like run(), but f also receives the place for a new C handle.
    template <typename H, typename F> result<H> make(F &&f)
    {
        if (from_.failed() != nullptr) {
            return *from_.failed();
        }
        typename H::handle_type *made = nullptr;
        const atlas_status given = f(c(), &made);
        H owned(made);
        rethrow();
        if (given != ATLAS_STATUS_OK) {
            return failure();
        }
        return owned;
    }
    // Like make(), but f receives the places for several C handles.
    template <typename H, typename F> result<std::vector<H>> make_many(std::size_t count, F &&f)
    {
        if (from_.failed() != nullptr) {
            return *from_.failed();
        }
        std::vector<H> owned;
        owned.reserve(count);
        std::vector<typename H::handle_type *> made(count);
        const atlas_status given = f(c(), made.data());
        for (auto *each : made) {
            owned.emplace_back(each);
        }
        rethrow();
        if (given != ATLAS_STATUS_OK) {
            return failure();
        }
        return owned;
    }

    // Throws a callback's exception.
    void rethrow()
    {
#if ATLAS_MANIFOLD_EXCEPTIONS
        if (thrown_) {
            std::rethrow_exception(std::exchange(thrown_, nullptr));
        }
#endif
    }
    // Place for an exception of this call's callbacks.
    std::exception_ptr &thrown() noexcept { return thrown_; }

private:
    static bool told(const atlas_progress *at, void *user_data)
    {
        auto &self = *static_cast<call *>(user_data);
        return guarded(self.thrown_, [&] {
            if (self.from_.stop_ && self.from_.stop_()) {
                return false;
            }
            return !self.from_.progress_ ||
                   self.from_.progress_({at->bytes_done, at->bytes_total, at->chunks_done, at->chunks_total});
        });
    }

    const operation &from_;
    atlas_operation c_;
    std::exception_ptr thrown_;
};

// A damage callback for C. It also receives the error numbers of read callbacks that threw, because a search reports
// their failure as damage.
class damage_told {
public:
    damage_told(call &of, const damage_callback &told, bool needed = true) noexcept
        : call_(of), told_(told), needed_(needed || told)
    {
    }
    atlas_damage_fn fn() const noexcept { return needed_ ? tell : nullptr; }

private:
    friend class call;
    static bool tell(const atlas_damage *found, void *user_data)
    {
        auto &self = *static_cast<damage_told *>(user_data);
        if (self.call_.thrown()) {
            return false;
        }
        return guarded(self.call_.thrown(), [&] {
#if ATLAS_MANIFOLD_EXCEPTIONS
            if (found->os_error >= thrown_by_readers::first_number) {
                if (auto thrown = thrown_by_readers::all().find(found->os_error)) {
                    std::rethrow_exception(std::move(thrown));
                }
            }
#endif
            return !self.told_ ||
                   self.told_({static_cast<damage_part>(found->part), static_cast<damage_kind>(found->kind),
                               found->repairable != 0, found->os_error, found->generation, found->index,
                               found->offset, found->length});
        });
    }

    call &call_;
    const damage_callback &told_;
    bool needed_;
};

// A call without an operation.
inline result<void> checked(atlas_status given)
{
    if (given != ATLAS_STATUS_OK) {
        return call::failure();
    }
    return {};
}

// The same with a value for success.
template <typename T, typename V> result<T> checked(atlas_status given, V &&value)
{
    if (given != ATLAS_STATUS_OK) {
        return call::failure();
    }
    return result<T>(std::forward<V>(value));
}

// Returns a list whose length the library knows. f gets room for the list and its capacity, and sets the capacity to
// the length.
template <typename F> result<std::vector<region>> list_of_regions(call &in, F &&f)
{
    std::vector<region> list(16);
    for (;;) {
        std::size_t count = list.size();
        auto given = in.run([&](const atlas_operation *c) { return f(c, list.data(), &count); });
        if (!given) {
            return given.error();
        }
        const bool whole = count <= list.size();
        list.resize(count);
        if (whole) {
            return list;
        }
    }
}

template <typename H> std::vector<const typename H::handle_type *> handles_of(list_view<H> from)
{
    std::vector<const typename H::handle_type *> made;
    made.reserve(from.size());
    for (const H &each : from) {
        made.push_back(each.get());
    }
    return made;
}

// Pointer to the bytes, or NULL if there are none.
inline const std::uint8_t *data_of(const std::optional<digest> &from) noexcept { return from ? from->data() : nullptr; }
inline const std::uint8_t *data_of(const std::optional<secret_key> &from) noexcept
{
    return from ? from->data() : nullptr;
}
inline const std::uint8_t *data_of(const std::optional<std::array<std::uint8_t, 16>> &from) noexcept
{
    return from ? from->data() : nullptr;
}

// Options kept as the C struct: first the defaults, then a setter per field, which returns the options. A derived class
// defines its default constructor, because C++17 treats a class without a constructor as an aggregate.
template <typename Self, typename C, void (*init)(C *)> class options {
protected:
    options() noexcept { init(&c_); }
    // T is deduced from the field alone; the value is converted to it.
    template <typename T> Self &set(T &field, const std::common_type_t<T> &value)
    {
        field = value;
        return static_cast<Self &>(*this);
    }

    C c_;
};

template <typename T> using if_owns_bytes = std::enable_if_t<
    !std::is_lvalue_reference_v<T> && holds_bytes<const std::decay_t<T>>::value &&
        !std::is_trivially_copyable_v<std::decay_t<T>>, int>;

} // namespace detail

/// The id of a container or a parity file.
using file_id = std::array<std::uint8_t, 16>;

// ---- Sources -----------------------------------------------------------------------------------------------------

/// Origin of the bytes of a domain; atlas_source. Projections, streams and containers hold their source, so that
/// a source may end before they do.
class source : public detail::handle<atlas_source, atlas_source_destroy> {
public:
    using handle::handle;

    /// Like copy(), but returns the error in the result instead of throwing.
    static result<source> try_copy(bytes_view bytes)
    {
        atlas_source *made = nullptr;
        return given(atlas_source_copy(bytes.data(), bytes.size(), &made), made);
    }
    /// Like own(), but returns the error in the result instead of throwing.
    template <typename C, detail::if_owns_bytes<C> = 0> static result<source> try_own(C &&container)
    {
        auto kept = std::make_unique<std::decay_t<C>>(std::forward<C>(container));
        const bytes_view bytes = *std::as_const(kept);
        atlas_source *made = nullptr;
        const auto status = atlas_source_borrow(
            bytes.data(), bytes.size(), [](void *user) { delete static_cast<std::decay_t<C> *>(user); }, kept.get(),
            &made);
        if (status == ATLAS_STATUS_OK) {
            (void)kept.release();
        }
        return given(status, made);
    }
    /// Like borrow(), but returns the error in the result instead of throwing.
    static result<source> try_borrow(bytes_view bytes)
    {
        atlas_source *made = nullptr;
        return given(atlas_source_borrow(bytes.data(), bytes.size(), nullptr, nullptr, &made), made);
    }
    /// Does not compile for a temporary container, whose bytes would not outlive the call. own() keeps them.
    template <typename C, detail::if_owns_bytes<C> = 0> static result<source> try_borrow(C &&) = delete;
    /// Like borrow() with `released`, but returns the error in the result instead of throwing.
    template <typename F, std::enable_if_t<std::is_invocable_v<F &>, int> = 0>
    static result<source> try_borrow(bytes_view bytes, F released)
    {
        auto kept = std::make_unique<F>(std::move(released));
        atlas_source *made = nullptr;
        const auto status = atlas_source_borrow(bytes.data(), bytes.size(), release_of<F>, kept.get(), &made);
        if (status == ATLAS_STATUS_OK) {
            (void)kept.release();
        }
        return given(status, made);
    }
    /// Like open(), but returns the error in the result instead of throwing.
    static result<source> try_open(const path_view &path, file_io io = file_io::read)
    {
        atlas_source *made = nullptr;
        return given(atlas_source_open_file(path.c_str(), detail::number(io), &made), made);
    }
    /// Like open_fd(), but returns the error in the result instead of throwing.
    static result<source> try_open_fd(int fd, file_io io = file_io::read)
    {
        atlas_source *made = nullptr;
        return given(atlas_source_open_fd(fd, detail::number(io), &made), made);
    }
    /// Like from_callback(), but returns the error in the result instead of throwing.
    template <typename F, std::enable_if_t<std::is_invocable_v<F &, std::uint64_t, bytes_span>, int> = 0>
    static result<source> try_from_callback(std::uint64_t size, F read_at)
    {
        auto kept = std::make_unique<reader<F>>(std::move(read_at));
        atlas_source *made = nullptr;
        const auto status = atlas_source_from_callback(size, reader<F>::read, reader<F>::release, kept.get(), &made);
        if (status == ATLAS_STATUS_OK) {
            (void)kept.release();
        }
        return given(status, made);
    }
    /// from_cl_mem() with the error in the result.
    static result<source> try_from_cl_mem(const pool &on, void *buffer, std::uint64_t offset, std::uint64_t size)
    {
        atlas_source *made = nullptr;
        return given(atlas_source_from_cl_mem(on.get(), buffer, offset, size, &made), made);
    }
    /// Like range(), but returns the error in the result instead of throwing.
    result<source> try_range(std::uint64_t offset, std::uint64_t size) const
    {
        atlas_source *made = nullptr;
        return given(atlas_source_range(get(), offset, size, &made), made);
    }
    /// Like concat(), but returns the error in the result instead of throwing.
    static result<source> try_concat(list_view<source> parts)
    {
        const auto handles = detail::handles_of(parts);
        atlas_source *made = nullptr;
        return given(atlas_source_concat(handles.data(), handles.size(), &made), made);
    }
    /// Like concat(), but returns the error in the result instead of throwing.
    template <typename... Rest> static result<source> try_concat(const source &first, const Rest &...rest)
    {
        const atlas_source *const handles[] = {first.get(), rest.get()...};
        atlas_source *made = nullptr;
        return given(atlas_source_concat(handles, 1 + sizeof...(rest), &made), made);
    }

    /// Returns the number of bytes; atlas_source_size().
    std::uint64_t size() const noexcept { return atlas_source_size(get()); }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Makes a source of a copy of bytes; atlas_source_copy().
    static source copy(bytes_view bytes) { return try_copy(bytes).value(); }
    /// Makes a source of a vector, a string or another container, without a copy; atlas_source_borrow().
    ///
    ///     auto source = atlas::source::own(std::move(bytes));
    template <typename C, detail::if_owns_bytes<C> = 0> static source own(C &&container)
    {
        return try_own(std::forward<C>(container)).value();
    }
    /// Makes a source of bytes that stay the caller's, unchanged until every object that reads them is destroyed;
    /// atlas_source_borrow().
    static source borrow(bytes_view bytes) { return try_borrow(bytes).value(); }
    /// Does not compile for a temporary container, whose bytes would not outlive the call. own() keeps them.
    template <typename C, detail::if_owns_bytes<C> = 0> static source borrow(C &&) = delete;
    /// Like borrow(); `released` is called once, from any thread, when the last object that reads the bytes is gone.
    template <typename F, std::enable_if_t<std::is_invocable_v<F &>, int> = 0>
    static source borrow(bytes_view bytes, F released)
    {
        return try_borrow(bytes, std::move(released)).value();
    }
    /// Opens a regular file; atlas_source_open_file().
    static source open(const path_view &path, file_io io = file_io::read) { return try_open(path, io).value(); }
    /// Opens a regular file through a descriptor, which the caller may close at once; atlas_source_open_fd().
    static source open_fd(int fd, file_io io = file_io::read) { return try_open_fd(fd, io).value(); }
    /// Makes a source of `size` bytes that read_at(offset, bytes_span) provides; atlas_source_from_callback(). Several
    /// threads may call read_at at a time. read_at must fill the whole span. If it cannot, it must throw, or return an
    /// errno value if its result is int. The call that reads throws the exception of read_at again.
    template <typename F, std::enable_if_t<std::is_invocable_v<F &, std::uint64_t, bytes_span>, int> = 0>
    static source from_callback(std::uint64_t size, F read_at)
    {
        return try_from_callback(size, std::move(read_at)).value();
    }
    /// `size` bytes at `offset` of a cl_mem of the context of a pool, which hashes them in place;
    /// atlas_source_from_cl_mem().
    static source from_cl_mem(const pool &on, void *buffer, std::uint64_t offset, std::uint64_t size)
    {
        return try_from_cl_mem(on, buffer, offset, size).value();
    }
    /// Returns a source of `size` bytes from `offset` on, without a copy; atlas_source_range().
    source range(std::uint64_t offset, std::uint64_t size) const { return try_range(offset, size).value(); }
    /// Returns a source of the bytes of several sources, one after the other, without a copy; atlas_source_concat().
    static source concat(list_view<source> parts) { return try_concat(parts).value(); }
    /// Returns a source of the bytes of several sources, one after the other, without a copy; atlas_source_concat().
    template <typename... Rest> static source concat(const source &first, const Rest &...rest)
    {
        return try_concat(first, rest...).value();
    }
#endif

private:
    static result<source> given(atlas_status status, atlas_source *const &made)
    {
        return detail::checked<source>(status, source(made));
    }

    template <typename F> static void release_of(void *user_data)
    {
        const std::unique_ptr<F> held(static_cast<F *>(user_data));
        std::exception_ptr lost; // no call exists that could throw it again
        (void)detail::guarded(lost, [&] {
            (*held)();
            return true;
        });
    }

    // A read callback. Its number identifies its last exception.
    template <typename F> struct reader {
        explicit reader(F taken) : read_at(std::move(taken)) {}

        static int read(void *user_data, std::uint64_t offset, void *to, std::size_t size)
        {
            auto &self = *static_cast<reader *>(user_data);
            std::exception_ptr thrown;
            int code = 0;
            (void)detail::guarded(thrown, [&] {
                if constexpr (std::is_void_v<std::invoke_result_t<F &, std::uint64_t, bytes_span>>) {
                    self.read_at(offset, bytes_span(to, size));
                } else {
                    code = self.read_at(offset, bytes_span(to, size));
                }
                return true;
            });
            return thrown ? self.keep(std::move(thrown)) : code;
        }
        static void release(void *user_data) { delete static_cast<reader *>(user_data); }

        ~reader()
        {
            if (number != 0) {
                detail::thrown_by_readers::all().forget(number);
            }
        }
        int keep(std::exception_ptr thrown)
        {
            const std::lock_guard<std::mutex> locked(lock);
            number = detail::thrown_by_readers::all().keep(number, std::move(thrown));
            return number;
        }

        F read_at;
        std::mutex lock;
        int number = 0;
    };
};

// ---- Options -----------------------------------------------------------------------------------------------------

/// Options of a new projection; atlas_projection_options.
class projection_options
    : public detail::options<projection_options, atlas_projection_options, atlas_projection_options_init> {
public:
    /// The defaults; atlas_projection_options_init().
    projection_options() noexcept {}
    /// Requirement on the sum of all bytes.
    projection_options &conservation(conservation_policy policy) noexcept
    {
        return set(c_.conservation, detail::number(policy));
    }
    /// K: any K of the 96 classes of an R96 projection rebuild it.
    projection_options &r96_data_classes(std::uint32_t count) noexcept { return set(c_.r96_data_classes, count); }
    /// Makes keyed witnesses.
    projection_options &key(const secret_key &secret) noexcept { return set(key_, secret); }
    /// The C struct, valid as long as this object exists.
    atlas_projection_options raw() const noexcept
    {
        auto made = c_;
        made.key = detail::data_of(key_);
        return made;
    }

private:
    std::optional<secret_key> key_;
};

/// Root and key that a verifier trusts; atlas_verify_options.
class verify_options : public detail::options<verify_options, atlas_verify_options, atlas_verify_options_init> {
public:
    /// Accepts any root and no key; atlas_verify_options_init().
    verify_options() noexcept {}
    /// Trusts one root.
    verify_options(const digest &root) noexcept : verify_options() { expected_root_ = root; }
    /// The root that is trusted.
    verify_options &expected_root(const digest &root) noexcept { return set(expected_root_, root); }
    /// The key of keyed digests.
    verify_options &key(const secret_key &secret) noexcept { return set(key_, secret); }
    /// The C struct, valid as long as this object exists.
    atlas_verify_options raw() const noexcept
    {
        auto made = c_;
        made.expected_root = detail::data_of(expected_root_);
        made.key = detail::data_of(key_);
        return made;
    }

private:
    std::optional<digest> expected_root_;
    std::optional<secret_key> key_;
};

/// Limits of a reader of serialised data; atlas_limits.
class limits : public detail::options<limits, atlas_limits, atlas_limits_init> {
public:
    /// The defaults; atlas_limits_init().
    limits() noexcept {}
    /// Maximum number of bytes of payload.
    limits &max_payload_size(std::uint64_t bytes) noexcept { return set(c_.max_payload_size, bytes); }
    /// Maximum number of bytes of the proof of the payload.
    limits &max_proof_size(std::uint64_t bytes) noexcept { return set(c_.max_proof_size, bytes); }
    /// The C struct.
    const atlas_limits &raw() const noexcept { return c_; }
};

/// Options of a batch of shards; atlas_extract_options.
class extract_options : public detail::options<extract_options, atlas_extract_options, atlas_extract_options_init> {
public:
    /// The defaults; atlas_extract_options_init().
    extract_options() noexcept {}
    /// Distribution of the batch over threads.
    extract_options &strategy(parallel_strategy chosen) noexcept { return set(c_.strategy, detail::number(chosen)); }
    /// Maximum number of tasks in flight; 0 means all threads of the pool.
    extract_options &max_threads(std::uint32_t count) noexcept { return set(c_.max_threads, count); }
    /// Regions per task of parallel_strategy::chunked.
    extract_options &chunk_size(std::uint32_t count) noexcept { return set(c_.chunk_size, count); }
    /// The C struct.
    const atlas_extract_options &raw() const noexcept { return c_; }
};

/// Options of a compression; atlas_compression_config.
class compression_config
    : public detail::options<compression_config, atlas_compression_config, atlas_compression_config_init> {
public:
    /// The defaults; atlas_compression_config_init().
    compression_config() noexcept {}
    /// The defaults with another algorithm.
    compression_config(compression_algorithm chosen) noexcept : compression_config() { algorithm(chosen); }
    /// The algorithm.
    compression_config &algorithm(compression_algorithm chosen) noexcept
    {
        return set(c_.algorithm, detail::number(chosen));
    }
    /// Level, 0 (stored) to 9.
    compression_config &level(std::uint32_t chosen) noexcept { return set(c_.level, chosen); }
    /// A level with a name.
    compression_config &level(compression_level chosen) noexcept { return level(detail::number(chosen)); }
    /// The codec's own level, in place of level().
    compression_config &codec_level(std::int32_t chosen) noexcept
    {
        c_.has_codec_level = 1;
        c_.codec_level = chosen;
        return *this;
    }
    /// Regions of fewer bytes are stored.
    compression_config &min_size_threshold(std::uint64_t bytes) noexcept { return set(c_.min_size_threshold, bytes); }
    /// Largest ratio of a compressed payload; above it the payload is stored.
    compression_config &max_compression_ratio(double ratio) noexcept { return set(c_.max_compression_ratio, ratio); }
    /// Checks the residue before encoding.
    compression_config &preserve_conservation(bool checked) noexcept { return set(c_.preserve_conservation, checked); }
    /// Decompresses the result and compares it with the shard before returning the result.
    compression_config &verify_integrity(bool checked) noexcept { return set(c_.verify_integrity, checked); }
    /// Bytes of the independent blocks.
    compression_config &block_size(std::uint64_t bytes) noexcept { return set(c_.block_size, bytes); }
    /// The filter before the codec.
    compression_config &filter(compression_filter chosen) noexcept { return set(c_.filter, detail::number(chosen)); }
    /// Target of compression_algorithm::automatic.
    compression_config &target(compression_target chosen) noexcept { return set(c_.target, detail::number(chosen)); }
    /// The C struct.
    const atlas_compression_config &raw() const noexcept { return c_; }
};

/// Options of a stream; atlas_stream_config.
class stream_config : public detail::options<stream_config, atlas_stream_config, atlas_stream_config_init> {
public:
    /// The defaults; atlas_stream_config_init().
    stream_config() noexcept {}
    /// Bytes of a chunk, 64 KiB to 256 MiB.
    stream_config &chunk_size(std::uint64_t bytes) noexcept { return set(c_.chunk_size, bytes); }
    /// Maximum number of chunks in flight.
    stream_config &parallel_chunks(std::uint32_t count) noexcept { return set(c_.parallel_chunks, count); }
    /// Number of chunks that are read ahead.
    stream_config &prefetch_chunks(std::uint32_t count) noexcept { return set(c_.prefetch_chunks, count); }
    /// Bytes of the next chunk that are returned with each chunk.
    stream_config &chunk_overlap(std::uint64_t bytes) noexcept { return set(c_.chunk_overlap, bytes); }
    /// Bytes of the largest positioned read.
    stream_config &io_buffer_size(std::uint64_t bytes) noexcept { return set(c_.io_buffer_size, bytes); }
    /// The C struct.
    const atlas_stream_config &raw() const noexcept { return c_; }
};

/// Options of updates; atlas_incremental_config.
class incremental_config
    : public detail::options<incremental_config, atlas_incremental_config, atlas_incremental_config_init> {
public:
    /// The defaults; atlas_incremental_config_init().
    incremental_config() noexcept {}
    /// Checks the residue after an update.
    incremental_config &validate_conservation(bool checked) noexcept { return set(c_.validate_conservation, checked); }
    /// Keeps a history.
    incremental_config &enable_rollback(bool kept) noexcept { return set(c_.enable_rollback, kept); }
    /// Maximum number of deltas in the history.
    incremental_config &max_deltas(std::uint64_t count) noexcept { return set(c_.max_deltas, count); }
    /// The C struct.
    const atlas_incremental_config &raw() const noexcept { return c_; }
};

/// Options of a reconstruction; atlas_reconstruction_options.
class reconstruction_options
    : public detail::options<reconstruction_options, atlas_reconstruction_options, atlas_reconstruction_options_init> {
public:
    /// The defaults; atlas_reconstruction_options_init().
    reconstruction_options() noexcept {}
    /// The root that shards must have, instead of the root of the first shard.
    reconstruction_options &expected_root(const digest &root) noexcept { return set(expected_root_, root); }
    /// The key of keyed shards.
    reconstruction_options &key(const secret_key &secret) noexcept { return set(key_, secret); }
    /// Path of the rebuilt file. Without it the domain is collected in memory.
    reconstruction_options &spool_path(const path_view &path)
    {
        spool_path_ = path.c_str();
        return set(spools_, true);
    }
    /// A shard that claims a larger domain fails with status::limit.
    reconstruction_options &max_domain_size(std::uint64_t bytes) noexcept { return set(c_.max_domain_size, bytes); }
    /// The C struct, valid as long as this object exists.
    atlas_reconstruction_options raw() const noexcept
    {
        auto made = c_;
        made.expected_root = detail::data_of(expected_root_);
        made.key = detail::data_of(key_);
        made.spool_path = spools_ ? spool_path_.c_str() : nullptr;
        return made;
    }

private:
    std::optional<digest> expected_root_;
    std::optional<secret_key> key_;
    // A string and a flag, because GCC 12 with sanitizers warns that an optional string may be uninitialized.
    std::string spool_path_;
    bool spools_ = false;
};

/// Options of a new container; atlas_container_create_options.
class container_create_options
    : public detail::options<container_create_options, atlas_container_create_options, atlas_container_create_options_init> {
public:
    /// The defaults; atlas_container_create_options_init().
    container_create_options() noexcept {}
    /// Base-2 logarithm of the block size, 12 to 16; a batch is a multiple of the block size. 0 means the block size
    /// that the file system reports, at least the page size and at most 64 KiB.
    container_create_options &block_log2(std::uint32_t exponent) noexcept { return set(c_.block_log2, exponent); }
    /// Stores the chaining values of groups of 16 KiB.
    container_create_options &keep_chains(bool kept = true) noexcept { return set(c_.keep_chains, kept); }
    /// The id of the file, instead of a random id.
    container_create_options &id(const file_id &chosen) noexcept { return set(id_, chosen); }
    /// A source whose bytes are not stored: the container is an outline of it. Must outlive these options.
    container_create_options &base(const source &from) noexcept { return set(c_.base, from.get()); }
    /// Does not compile for a temporary source, which would not outlive these options.
    container_create_options &base(const source &&) = delete;
    /// Compression of runs of 4 KiB and more.
    container_create_options &compression(const compression_config &config) noexcept
    {
        return set(compression_, config);
    }
    /// Sets the bytes of memory for loaded parts of the tree.
    container_create_options &cache_size(std::uint64_t bytes) noexcept { return set(c_.cache_size, bytes); }
    /// The C struct, valid as long as this object exists.
    atlas_container_create_options raw() const noexcept
    {
        auto made = c_;
        made.id = detail::data_of(id_);
        made.compression = compression_ ? &compression_->raw() : nullptr;
        return made;
    }

private:
    std::optional<file_id> id_;
    std::optional<compression_config> compression_;
};

/// Options of a container's handle; atlas_container_open_options.
class container_open_options
    : public detail::options<container_open_options, atlas_container_open_options, atlas_container_open_options_init> {
public:
    /// The defaults; atlas_container_open_options_init().
    container_open_options() noexcept {}
    /// Opens the newest complete generation if a newer generation is damaged.
    container_open_options &recover(bool wanted = true) noexcept { return set(c_.recover, wanted); }
    /// The base: the source whose bytes an outline describes. Must outlive these options.
    container_open_options &base(const source &from) noexcept { return set(c_.base, from.get()); }
    /// Does not compile for a temporary source, which would not outlive these options.
    container_open_options &base(const source &&) = delete;
    /// Opening fails with status::witness unless the newest generation or one before it has this history, the digest
    /// generation_info::history.
    container_open_options &expected_history(const digest &history) noexcept { return set(expected_history_, history); }
    /// Compression of runs of 4 KiB and more.
    container_open_options &compression(const compression_config &config) noexcept { return set(compression_, config); }
    /// Sets the bytes of memory for loaded parts of the tree.
    container_open_options &cache_size(std::uint64_t bytes) noexcept { return set(c_.cache_size, bytes); }
    /// A generation of more bytes fails with status::limit.
    container_open_options &max_domain_size(std::uint64_t bytes) noexcept { return set(c_.max_domain_size, bytes); }
    /// The C struct, valid as long as this object exists.
    atlas_container_open_options raw() const noexcept
    {
        auto made = c_;
        made.expected_history = detail::data_of(expected_history_);
        made.compression = compression_ ? &compression_->raw() : nullptr;
        return made;
    }

private:
    std::optional<digest> expected_history_;
    std::optional<compression_config> compression_;
};

/// Options of a commit; atlas_commit_options.
class commit_options : public detail::options<commit_options, atlas_commit_options, atlas_commit_options_init> {
public:
    /// The defaults; atlas_commit_options_init().
    commit_options() noexcept {}
    /// Required number of the newest generation. Another number fails with status::conflict.
    commit_options &expected(std::uint64_t generation) noexcept { return set(c_.expected, generation); }
    /// Time of the commit, in nanoseconds since 1970.
    commit_options &time(std::int64_t nanoseconds) noexcept { return set(c_.time, nanoseconds); }
    /// The note, at most 1,024 bytes; copied.
    commit_options &note(bytes_view bytes)
    {
        note_.assign(bytes.begin(), bytes.end());
        return *this;
    }
    /// The note as text, at most 1,024 bytes; copied.
    commit_options &note(const char *text) { return note(std::string_view(text)); }
    /// The C struct, valid as long as this object exists.
    atlas_commit_options raw() const noexcept
    {
        auto made = c_;
        made.note = note_.data();
        made.note_size = note_.size();
        return made;
    }

private:
    std::vector<std::uint8_t> note_;
};

/// Options of a new parity file, and of an update; atlas_parity_options.
class parity_options : public detail::options<parity_options, atlas_parity_options, atlas_parity_options_init> {
public:
    /// The defaults; atlas_parity_options_init().
    parity_options() noexcept {}
    /// Bytes per unit, a multiple of 4,096 up to 1 MiB. 0 means 4 KiB for a source of less than 256 MiB, else 64 KiB.
    parity_options &unit_size(std::uint32_t bytes) noexcept { return set(c_.unit_size, bytes); }
    /// Number of parity columns. 0 means that redundancy() determines it.
    parity_options &parity_columns(std::uint32_t count) noexcept { return set(c_.parity_columns, count); }
    /// Share of parity in 1/10,000 of the data columns.
    parity_options &redundancy(std::uint32_t share) noexcept { return set(c_.redundancy, share); }
    /// Number of rows. 0 means the number that gives at most 256 columns.
    parity_options &rows(std::uint64_t count) noexcept { return set(c_.rows, count); }
    /// Makes keyed digests.
    parity_options &key(const secret_key &secret) noexcept { return set(key_, secret); }
    /// The id of the file, instead of a random id.
    parity_options &id(const file_id &chosen) noexcept { return set(id_, chosen); }
    /// Stores the LINEAR root of the protected bytes too.
    parity_options &store_root(bool stored = true) noexcept { return set(c_.store_root, stored); }
    /// The C struct, valid as long as this object exists.
    atlas_parity_options raw() const noexcept
    {
        auto made = c_;
        made.key = detail::data_of(key_);
        made.id = detail::data_of(id_);
        return made;
    }

private:
    std::optional<secret_key> key_;
    std::optional<file_id> id_;
};

/// Options of a repair by a parity file; atlas_repair_options.
class repair_options : public detail::options<repair_options, atlas_repair_options, atlas_repair_options_init> {
public:
    /// The repaired file gets the name `path`; no file of this name may exist. The damaged file is only read.
    static repair_options new_file(const path_view &path) { return {repair_mode::new_file, path.c_str()}; }
    /// The repaired file takes the name of the damaged file, which is kept under the name `path`; no file of this name
    /// may exist.
    static repair_options keep(const path_view &path) { return {repair_mode::keep, path.c_str()}; }
    /// Damaged units are overwritten in place, each only if the damage callback agrees.
    static repair_options in_place() { return {repair_mode::in_place, std::string()}; }

    /// Repairs all rows that can be repaired, even if other rows cannot be repaired.
    repair_options &partial(bool wanted = true) noexcept { return set(c_.partial, wanted); }
    /// The C struct, valid as long as this object exists.
    atlas_repair_options raw() const noexcept
    {
        auto made = c_;
        made.other_path = static_cast<repair_mode>(c_.mode) == repair_mode::in_place ? nullptr : other_path_.c_str();
        return made;
    }

private:
    repair_options(repair_mode mode, std::string other_path) : other_path_(std::move(other_path))
    {
        c_.mode = detail::number(mode);
    }

    std::string other_path_;
};

/// Cases and iterations of a benchmark run; atlas_benchmark_config.
class benchmark_config : public detail::options<benchmark_config, atlas_benchmark_config, atlas_benchmark_config_init> {
public:
    /// The defaults; atlas_benchmark_config_init().
    benchmark_config() noexcept {}
    /// Iterations of a case before the measured iterations.
    benchmark_config &warmup_iterations(std::uint32_t count) noexcept { return set(c_.warmup_iterations, count); }
    /// Measured iterations of a case.
    benchmark_config &iterations(std::uint32_t count) noexcept { return set(c_.iterations, count); }
    /// Seconds for the iterations of one case.
    benchmark_config &max_seconds(double seconds) noexcept { return set(c_.max_seconds, seconds); }
    /// Sizes of the domains in bytes; copied.
    benchmark_config &data_sizes(list_view<std::uint64_t> sizes)
    {
        data_sizes_.assign(sizes.begin(), sizes.end());
        return *this;
    }
    /// The C struct, valid as long as this object exists.
    atlas_benchmark_config raw() const noexcept
    {
        auto made = c_;
        made.data_sizes = data_sizes_.empty() ? nullptr : data_sizes_.data();
        made.data_size_count = data_sizes_.size();
        return made;
    }

private:
    std::vector<std::uint64_t> data_sizes_;
};

// ---- Results of calls ---------------------------------------------------------------------------------------------

/// Properties of a projection's present state; atlas_projection_info.
struct projection_info {
    projection_type type;           ///< Type of the projection.
    std::uint64_t domain_size;      ///< Bytes of the domain.
    std::uint64_t page_count;       ///< Pages of 4,096 bytes.
    std::uint64_t tile_count;       ///< Tiles of 1 byte to 1 MiB.
    std::uint32_t residue;          ///< The sum of all bytes mod 96.
    std::uint32_t correction;       ///< Number that makes the sum 0 mod 96 when added.
    std::uint32_t width;            ///< Tiles in a row of the plane.
    std::uint32_t height;           ///< Rows of the plane.
    std::uint32_t r96_data_classes; ///< K; 0 for linear.
    bool keyed;                     ///< True if witnesses are keyed.
    bool canonical;                 ///< True if tiles are full from offset 0 on.
};

/// Properties of a tile; atlas_tile_info.
struct tile_info {
    std::uint32_t residue; ///< The sum of the bytes mod 96.
    std::uint64_t offset;  ///< Offset of the first byte in the domain.
    std::uint64_t length;  ///< 1 to 1,048,576 bytes.
    digest witness;        ///< Digest of the tile.
};

/// The box around a transformed tile.
struct box {
    double min_x; ///< Left edge.
    double min_y; ///< Lower edge.
    double max_x; ///< Right edge.
    double max_y; ///< Upper edge.
};

/// A scaling, then a rotation, then a translation of the tile plane; atlas_transform_params.
struct plane_transform {
    double scaling_factor = 1; ///< Greater than 0 and finite.
    double rotation_angle = 0; ///< In radians, counter-clockwise about the origin.
    double translation_x = 0;  ///< Added to x, after the rotation.
    double translation_y = 0;  ///< Added to y, after the rotation.
};

/// Counts of the changes to a projection; atlas_incremental_stats.
struct incremental_stats {
    std::uint64_t total_updates;           ///< Deltas of all kinds.
    std::uint64_t insert_operations;       ///< Deltas that insert.
    std::uint64_t update_operations;       ///< Deltas that replace.
    std::uint64_t delete_operations;       ///< Deltas that delete.
    std::uint64_t move_operations;         ///< Deltas that move.
    std::uint64_t rollbacks;               ///< Rollbacks that succeeded.
    std::uint64_t bytes_modified;          ///< Bytes inserted, deleted and moved; an update counts its longer side.
    std::uint64_t conservation_violations; ///< Calls that were refused with status::conservation.
    std::uint64_t avg_update_time_ns;      ///< Nanoseconds per delta.
};

/// Properties of a shard; atlas_shard_info.
struct shard_info {
    projection_type type;                     ///< Type of the projection.
    std::uint64_t domain_size;                ///< Bytes of the whole domain.
    atlas::region region;                     ///< Region of the domain that the shard covers.
    std::uint64_t payload_size;               ///< Size of the payload in bytes.
    std::uint32_t residue;                    ///< Linear: the sum of the region's bytes mod 96.
    std::uint32_t r96_data_classes;           ///< K; 0 for linear.
    bool keyed;                               ///< True if the witnesses are keyed.
    std::array<std::uint8_t, 12> class_mask;  ///< R96: bit r % 8 of byte r / 8 is set if the shard carries class r.
    digest root;                              ///< Root of the projection state of the shard.

    /// True if an R96 shard carries a class.
    bool has_class(std::uint32_t which) const noexcept
    {
        return which < 96 && (class_mask[which / 8] >> (which % 8) & 1) != 0;
    }
};

/// Properties of a compressed shard; atlas_compressed_info.
struct compressed_info {
    compression_algorithm algorithm; ///< Algorithm that was used; none if stored.
    std::uint32_t level;             ///< Level that was used; 0 if stored.
    std::uint32_t residue;           ///< Sum of the bytes of the shard mod 96.
    std::uint64_t original_size;     ///< Bytes of the payload.
    std::uint64_t compressed_size;   ///< Bytes of the blocks, and 12 per block.
    std::uint32_t filters;           ///< Bit f is set if a block has filter f.
};

/// Counts of a compression manager; atlas_compression_stats.
struct compression_stats {
    std::uint64_t compression_operations;   ///< Shards passed to compression.
    std::uint64_t decompression_operations; ///< Compressed shards that were decompressed.
    std::uint64_t shards_compressed;        ///< Shards that became smaller.
    std::uint64_t shards_stored;            ///< Shards that are stored.
    std::uint64_t original_bytes;           ///< Sum of original_size over these shards.
    std::uint64_t compressed_bytes;         ///< Sum of compressed_size over these shards.
    std::uint64_t saved_bytes;              ///< original_bytes minus compressed_bytes, at least 0.
    double average_ratio;                   ///< compressed_bytes by original_bytes; 1 if there are none.
};

/// A chunk of a stream, and the beginning of the next chunk; atlas_chunk.
struct chunk {
    std::uint64_t id;      ///< Number of the chunk, from 0.
    std::uint64_t offset;  ///< Offset of the first byte in the domain.
    std::uint32_t residue; ///< The sum of the bytes mod 96.
    bytes_view data;       ///< Bytes of the chunk, valid until the next changing call on the stream.
    bytes_view overlap;    ///< First bytes of the next chunk, valid as long as data.
};

/// Properties of a container; atlas_container_info.
struct container_info {
    projection_type type;             ///< Type of the projection.
    std::uint32_t r96_data_classes;   ///< K; 0 for linear.
    bool keyed;                       ///< True if digests are keyed.
    conservation_policy conservation; ///< Requirement on the sum of all bytes.
    bool writable;                    ///< True if this handle may write.
    bool keeps_chains;                ///< True if chaining values are stored.
    std::uint32_t block_size;         ///< Block size in bytes; every commit extends the file by a multiple of it.
    std::uint64_t newest;             ///< Number of the newest generation; 0: none.
    std::uint64_t oldest;             ///< Number of the oldest kept generation; 0: none.
    std::uint64_t generation_count;   ///< Number of kept generations.
    std::uint64_t lost;               ///< Newest durable generation that recovery did not find; 0: none.
    std::uint64_t file_size;          ///< Bytes of the file up to the end of the newest generation.
    std::uint64_t base_size;          ///< Size of the base's address space; 0: none.
    file_id id;                       ///< Id of the file.
};

/// Properties of a generation; atlas_generation_info.
struct generation_info {
    std::uint64_t generation;  ///< Number of the generation.
    std::uint64_t previous;    ///< Number of the previous kept generation; 0: none.
    std::uint32_t residue;     ///< Sum of all bytes mod 96.
    std::int64_t time;         ///< Nanoseconds since 1970; 0: none.
    std::uint64_t domain_size; ///< Bytes of the domain.
    std::uint64_t tile_count;  ///< Number of tiles, each of at most 1 MiB.
    std::uint64_t note_size;   ///< Bytes of the note.
    digest root;               ///< Root of the projection.
    digest history;            ///< Digest that commits to this generation and all before it.
};

/// Properties of a parity file; atlas_parity_info.
struct parity_info {
    std::uint32_t unit_size;      ///< Bytes per unit.
    std::uint64_t protected_size; ///< Number of protected bytes.
    std::uint64_t parity_size;    ///< Size of the complete parity file.
    std::uint64_t rows;           ///< Number of rows.
    std::uint32_t data_columns;   ///< Number of data columns.
    std::uint32_t parity_columns; ///< Number of parity columns, the units of each row that may be lost.
    std::uint64_t burst_size;     ///< Longest run of lost bytes that can be rebuilt wherever it begins.
    bool keyed;                   ///< True if the digests are keyed.
    std::optional<digest> root;   ///< The root of the protected bytes, if it is stored.
    file_id id;                   ///< Id of the parity file.
};

/// The result of a check; atlas_parity_report. Every repair begins with a check.
struct parity_report {
    parity_verdict data;            ///< Verdict on the protected bytes.
    parity_verdict parity;          ///< Verdict on the parity file.
    std::uint64_t size;             ///< Size of the protected file as it was found.
    std::uint64_t bad_units;        ///< Data units that differ from their digests or cannot be read.
    std::uint64_t unknown_units;    ///< Data units whose digests are lost.
    std::uint64_t bad_parity_units; ///< Parity units that are bad or unknown.
    std::uint64_t bad_blocks;       ///< Invalid blocks of digests, in the head and in the tail copy.
    std::uint64_t damaged_rows;     ///< Rows with a damaged unit of data or parity.
    std::uint64_t lost_rows;        ///< Rows with more damaged units than parity units.
    std::uint64_t repaired_units;   ///< Data units that a repair has written.

    /// True if neither the data nor the parity file is damaged.
    bool intact() const noexcept { return data == parity_verdict::intact && parity == parity_verdict::intact; }
};

/// One case of a benchmark on a domain of one size; atlas_benchmark_result.
struct benchmark_result {
    std::string name;         ///< Name of the case.
    std::uint64_t data_size;  ///< Bytes of the domain.
    std::uint64_t iterations; ///< Measured iterations.
    double min_ns;            ///< Time of the fastest iteration.
    double max_ns;            ///< Time of the slowest iteration.
    double mean_ns;           ///< Mean time.
    double median_ns;         ///< Median time.
    double stddev_ns;         ///< Standard deviation of the time.
    double bytes_per_second;  ///< data_size divided by the median.
};

/// The result of a search for damage.
struct damage_report {
    std::vector<damage> ranges; ///< The damaged ranges, in the order of the search.
    atlas::status outcome;      ///< status::ok: nothing is damaged. Else the status of the search.

    /// True if nothing is damaged, and every byte was checked.
    bool intact() const noexcept { return outcome == atlas::status::ok; }
};

/// One change of a domain; atlas_delta. The bytes of an insertion or an update are borrowed until the delta is applied.
struct delta : atlas_delta {
    /// Inserts `bytes` before the byte at `offset`.
    static delta insert(std::uint64_t offset, bytes_view bytes) noexcept
    {
        return {{ATLAS_CHANGE_INSERT, offset, 0, 0, bytes.data(), bytes.size()}};
    }
    /// Replaces `length` bytes at `offset` by `bytes`, whose length may differ.
    static delta update(std::uint64_t offset, std::uint64_t length, bytes_view bytes) noexcept
    {
        return {{ATLAS_CHANGE_UPDATE, offset, length, 0, bytes.data(), bytes.size()}};
    }
    /// Removes `length` bytes at `offset`.
    static delta erase(std::uint64_t offset, std::uint64_t length) noexcept
    {
        return {{ATLAS_CHANGE_DELETE, offset, length, 0, nullptr, 0}};
    }
    /// Cuts `length` bytes at `offset` and inserts them before the byte that was at `destination` before the move.
    static delta move(std::uint64_t offset, std::uint64_t length, std::uint64_t destination) noexcept
    {
        return {{ATLAS_CHANGE_MOVE, offset, length, destination, nullptr, 0}};
    }
};
// ---- Shards ------------------------------------------------------------------------------------------------------

class compressed_shard;

/// A region of a domain with its bytes and their proof against the root; atlas_shard. The bytes were verified before
/// the handle was created.
class shard : public detail::handle<atlas_shard, atlas_shard_destroy> {
public:
    using handle::handle;

    /// Like deserialize(), but returns the error in the result instead of throwing.
    static result<shard> try_deserialize(bytes_view bytes, const verify_options &trust = {}, const limits &accepted = {},
                                         const operation &op = {})
    {
        const auto verify = trust.raw();
        return detail::call(op).make<shard>([&](auto *c, auto **out) {
            return atlas_shard_deserialize(bytes.data(), bytes.size(), &accepted.raw(), &verify, c, out);
        });
    }
    /// Like info(), but returns the error in the result instead of throwing.
    result<shard_info> try_info() const
    {
        auto c = detail::sized<atlas_shard_info>();
        const auto given = atlas_shard_get_info(get(), &c);
        shard_info made{static_cast<projection_type>(c.type), c.domain_size, c.region,           c.payload_size,
                        c.residue,                            c.r96_data_classes, c.keyed != 0, {},
                        digest(c.root)};
        std::memcpy(made.class_mask.data(), c.class_mask, made.class_mask.size());
        return detail::checked<shard_info>(given, made);
    }
    /// Like data(), but returns the error in the result instead of throwing.
    result<bytes_view> try_data() const
    {
        const std::uint8_t *data = nullptr;
        std::size_t size = 0;
        const auto given = atlas_shard_data(get(), &data, &size);
        return detail::checked<bytes_view>(given, bytes_view(data, size));
    }
    /// Like read(), but returns the error in the result instead of throwing.
    result<void> try_read(std::uint64_t offset, bytes_span to) const
    {
        return detail::checked(atlas_shard_read(get(), offset, to.data(), to.size()));
    }
    /// Like verify(), but returns the error in the result instead of throwing.
    result<void> try_verify(const verify_options &trust = {}, const operation &op = {}) const
    {
        const auto verify = trust.raw();
        return detail::call(op).run([&](auto *c) { return atlas_shard_verify(get(), &verify, c); });
    }
    /// Like serialize(), but returns the error in the result instead of throwing.
    result<buffer> try_serialize() const
    {
        atlas_buffer made = {nullptr, 0};
        const auto given = atlas_shard_serialize(get(), &made);
        return detail::checked<buffer>(given, buffer(made));
    }
    /// Like compress(), but returns the error in the result instead of throwing.
    inline result<compressed_shard> try_compress(const compression_config &config = {}, const operation &op = {}) const;

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Returns the shard that bytes encode, verified; atlas_shard_deserialize().
    ///
    ///     auto shard = atlas::shard::deserialize(bytes, root);
    static shard deserialize(bytes_view bytes, const verify_options &trust = {}, const limits &accepted = {},
                             const operation &op = {})
    {
        return try_deserialize(bytes, trust, accepted, op).value();
    }
    /// Returns the properties of the shard; atlas_shard_get_info().
    shard_info info() const { return try_info().value(); }
    /// Returns the payload of the shard, borrowed until the shard is destroyed; atlas_shard_data().
    bytes_view data() const { return try_data().value(); }
    /// Fills memory with the domain's bytes from `offset` on, which lie in the shard; atlas_shard_read().
    void read(std::uint64_t offset, bytes_span to) const { try_read(offset, to).value(); }
    /// Hashes the bytes again and checks their proof; atlas_shard_verify().
    void verify(const verify_options &trust = {}, const operation &op = {}) const { try_verify(trust, op).value(); }
    /// Returns the only encoding of the shard; atlas_shard_serialize().
    buffer serialize() const { return try_serialize().value(); }
    /// Returns the shard with a compressed payload; atlas_shard_compress().
    inline compressed_shard compress(const compression_config &config = {}, const operation &op = {}) const;
#endif
};

/// A shard with a compressed payload; atlas_compressed_shard.
class compressed_shard : public detail::handle<atlas_compressed_shard, atlas_compressed_shard_destroy> {
public:
    using handle::handle;

    /// Like deserialize(), but returns the error in the result instead of throwing.
    static result<compressed_shard> try_deserialize(bytes_view bytes, const limits &accepted = {})
    {
        atlas_compressed_shard *made = nullptr;
        const auto given = atlas_compressed_shard_deserialize(bytes.data(), bytes.size(), &accepted.raw(), &made);
        return detail::checked<compressed_shard>(given, compressed_shard(made));
    }
    /// Like info(), but returns the error in the result instead of throwing.
    result<compressed_info> try_info() const
    {
        auto c = detail::sized<atlas_compressed_info>();
        const auto given = atlas_compressed_shard_get_info(get(), &c);
        return detail::checked<compressed_info>(given, compressed_info{static_cast<compression_algorithm>(c.algorithm),
                                                                       c.level, c.residue, c.original_size,
                                                                       c.compressed_size, c.filters});
    }
    /// Like read(), but returns the error in the result instead of throwing.
    result<void> try_read(std::uint64_t offset, bytes_span to) const
    {
        return detail::checked(atlas_compressed_shard_read(get(), offset, to.data(), to.size()));
    }
    /// Like serialize(), but returns the error in the result instead of throwing.
    result<buffer> try_serialize() const
    {
        atlas_buffer made = {nullptr, 0};
        const auto given = atlas_compressed_shard_serialize(get(), &made);
        return detail::checked<buffer>(given, buffer(made));
    }
    /// Like decompress(), but returns the error in the result instead of throwing.
    result<shard> try_decompress(const verify_options &trust = {}, const operation &op = {}) const
    {
        const auto verify = trust.raw();
        return detail::call(op).make<shard>(
            [&](auto *c, auto **out) { return atlas_shard_decompress(get(), &verify, c, out); });
    }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Returns the compressed shard that bytes encode; atlas_compressed_shard_deserialize().
    static compressed_shard deserialize(bytes_view bytes, const limits &accepted = {})
    {
        return try_deserialize(bytes, accepted).value();
    }
    /// Returns the properties of the compressed shard; atlas_compressed_shard_get_info().
    compressed_info info() const { return try_info().value(); }
    /// Fills memory with the payload from `offset` on; atlas_compressed_shard_read().
    void read(std::uint64_t offset, bytes_span to) const { try_read(offset, to).value(); }
    /// Returns the only encoding of the compressed shard; atlas_compressed_shard_serialize().
    buffer serialize() const { return try_serialize().value(); }
    /// Returns the original shard, verified; atlas_shard_decompress().
    shard decompress(const verify_options &trust = {}, const operation &op = {}) const
    {
        return try_decompress(trust, op).value();
    }
#endif
};

inline result<compressed_shard> shard::try_compress(const compression_config &config, const operation &op) const
{
    return detail::call(op).make<compressed_shard>(
        [&](auto *c, auto **out) { return atlas_shard_compress(get(), &config.raw(), c, out); });
}

#if ATLAS_MANIFOLD_EXCEPTIONS
inline compressed_shard shard::compress(const compression_config &config, const operation &op) const
{
    return try_compress(config, op).value();
}
#endif

/// Compresses and decompresses batches, and keeps statistics; atlas_compression_manager.
class compression_manager : public detail::handle<atlas_compression_manager, atlas_compression_manager_destroy> {
public:
    using handle::handle;

    /// Like create(), but returns the error in the result instead of throwing.
    static result<compression_manager> try_create(const compression_config &config = {})
    {
        atlas_compression_manager *made = nullptr;
        const auto given = atlas_compression_manager_create(&config.raw(), &made);
        return detail::checked<compression_manager>(given, compression_manager(made));
    }
    /// Like compress(), but returns the error in the result instead of throwing.
    result<std::vector<compressed_shard>> try_compress(list_view<shard> shards, const operation &op = {})
    {
        const auto handles = detail::handles_of(shards);
        return detail::call(op).make_many<compressed_shard>(handles.size(), [&](auto *c, auto **out) {
            return atlas_compression_manager_compress_batch(get(), handles.data(), handles.size(), c, out);
        });
    }
    /// Like decompress(), but returns the error in the result instead of throwing.
    result<std::vector<shard>> try_decompress(list_view<compressed_shard> compressed, const verify_options &trust = {},
                                              const operation &op = {})
    {
        const auto handles = detail::handles_of(compressed);
        const auto verify = trust.raw();
        return detail::call(op).make_many<shard>(handles.size(), [&](auto *c, auto **out) {
            return atlas_compression_manager_decompress_batch(get(), handles.data(), handles.size(), &verify, c, out);
        });
    }
    /// Like stats(), but returns the error in the result instead of throwing.
    result<compression_stats> try_stats() const
    {
        auto c = detail::sized<atlas_compression_stats>();
        const auto given = atlas_compression_manager_get_stats(get(), &c);
        return detail::checked<compression_stats>(
            given, compression_stats{c.compression_operations, c.decompression_operations, c.shards_compressed,
                                     c.shards_stored, c.original_bytes, c.compressed_bytes, c.saved_bytes,
                                     c.average_ratio});
    }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Creates a manager with one configuration; atlas_compression_manager_create().
    static compression_manager create(const compression_config &config = {}) { return try_create(config).value(); }
    /// Compresses shards in parallel, all or none; atlas_compression_manager_compress_batch().
    std::vector<compressed_shard> compress(list_view<shard> shards, const operation &op = {})
    {
        return try_compress(shards, op).value();
    }
    /// Decompresses and verifies compressed shards in parallel, all or none;
    /// atlas_compression_manager_decompress_batch().
    std::vector<shard> decompress(list_view<compressed_shard> compressed, const verify_options &trust = {},
                                  const operation &op = {})
    {
        return try_decompress(compressed, trust, op).value();
    }
    /// Returns counts of the operations so far; atlas_compression_manager_get_stats().
    compression_stats stats() const { return try_stats().value(); }
#endif
};

// ---- Projections -------------------------------------------------------------------------------------------------

class tile_range;

/// An addressable, verifiable view of a domain; atlas_projection.
class projection : public detail::handle<atlas_projection, atlas_projection_destroy> {
public:
    using handle::handle;

    /// Like create(), but returns the error in the result instead of throwing.
    static result<projection> try_create(const source &from, projection_type type = projection_type::linear,
                                         const projection_options &options = {}, const operation &op = {})
    {
        const auto raw = options.raw();
        return detail::call(op).make<projection>([&](auto *c, auto **out) {
            return atlas_projection_create(detail::number(type), from.get(), &raw, c, out);
        });
    }
    /// Like stream(), but returns the error in the result instead of throwing.
    static result<projection> try_stream(const source &from, const stream_config &config = {},
                                         projection_type type = projection_type::linear,
                                         const projection_options &options = {}, const operation &op = {})
    {
        const auto raw = options.raw();
        return detail::call(op).make<projection>([&](auto *c, auto **out) {
            return atlas_stream_project(detail::number(type), from.get(), &raw, &config.raw(), c, out);
        });
    }
    /// Like info(), but returns the error in the result instead of throwing.
    result<projection_info> try_info() const
    {
        auto c = detail::sized<atlas_projection_info>();
        const auto given = atlas_projection_get_info(get(), &c);
        return detail::checked<projection_info>(
            given, projection_info{static_cast<projection_type>(c.type), c.domain_size, c.page_count, c.tile_count,
                                   c.residue, c.correction, c.width, c.height, c.r96_data_classes, c.keyed != 0,
                                   c.canonical != 0});
    }
    /// Like root(), but returns the error in the result instead of throwing.
    result<digest> try_root(const operation &op = {}) const
    {
        digest made;
        auto given = detail::call(op).run([&](auto *c) { return atlas_projection_root(get(), c, made.data()); });
        if (!given) {
            return given.error();
        }
        return made;
    }
    /// Like tile(), but returns the error in the result instead of throwing.
    result<tile_info> try_tile(std::uint64_t index) const
    {
        auto c = detail::sized<atlas_tile_info>();
        const auto given = atlas_projection_get_tile(get(), index, &c);
        return detail::checked<tile_info>(given, tile_info{c.residue, c.offset, c.length, digest(c.witness)});
    }
    /// Like snapshot(), but returns the error in the result instead of throwing.
    result<projection> try_snapshot() const
    {
        atlas_projection *made = nullptr;
        const auto given = atlas_projection_snapshot(get(), &made);
        return detail::checked<projection>(given, projection(made));
    }
    /// Like read(), but returns the error in the result instead of throwing.
    result<void> try_read(std::uint64_t offset, bytes_span to) const
    {
        return detail::checked(atlas_projection_read(get(), offset, to.data(), to.size()));
    }
    /// Like verify(), but returns the error in the result instead of throwing.
    result<void> try_verify(const operation &op = {}) const
    {
        return detail::call(op).run([&](auto *c) { return atlas_projection_verify(get(), c); });
    }
    /// Like write_file(), but returns the error in the result instead of throwing.
    result<void> try_write_file(const path_view &path, const operation &op = {}) const
    {
        return detail::call(op).run([&](auto *c) { return atlas_projection_write_file(get(), path.c_str(), c); });
    }

    /// Like extract(), but returns the error in the result instead of throwing.
    result<shard> try_extract(const region &part, const operation &op = {}) const
    {
        return detail::call(op).make<shard>(
            [&](auto *c, auto **out) { return atlas_shard_extract(get(), &part, c, out); });
    }
    /// Like extract_batch(), but returns the error in the result instead of throwing.
    result<std::vector<shard>> try_extract_batch(list_view<region> parts, const extract_options &options = {},
                                                 const operation &op = {}) const
    {
        return detail::call(op).make_many<shard>(parts.size(), [&](auto *c, auto **out) {
            return atlas_shard_extract_batch(get(), parts.data(), parts.size(), &options.raw(), c, out);
        });
    }
    /// Like extract_classes(), but returns the error in the result instead of throwing.
    result<std::vector<shard>> try_extract_classes(list_view<std::uint8_t> classes,
                                                   std::optional<region> part = std::nullopt,
                                                   const operation &op = {}) const
    {
        return detail::call(op).make_many<shard>(classes.size(), [&](auto *c, auto **out) {
            return atlas_shard_extract_classes(get(), part ? &*part : nullptr, classes.data(), classes.size(), c, out);
        });
    }

    /// Like configure_incremental(), but returns the error in the result instead of throwing.
    result<void> try_configure_incremental(const incremental_config &config = {})
    {
        return detail::checked(atlas_projection_configure_incremental(get(), &config.raw()));
    }
    /// Like apply(), but returns the error in the result instead of throwing.
    result<void> try_apply(const delta &change)
    {
        const atlas_delta &c = change;
        return without_operation(atlas_projection_apply(get(), &c));
    }
    /// Like apply_batch(), but returns the error in the result instead of throwing.
    result<void> try_apply_batch(list_view<delta> changes)
    {
        const std::vector<atlas_delta> c(changes.begin(), changes.end());
        return without_operation(atlas_projection_apply_batch(get(), c.data(), c.size()));
    }
    /// Like insert(), but returns the error in the result instead of throwing.
    result<void> try_insert(std::uint64_t offset, bytes_view bytes) { return try_apply(delta::insert(offset, bytes)); }
    /// Like update(), but returns the error in the result instead of throwing.
    result<void> try_update(std::uint64_t offset, std::uint64_t length, bytes_view bytes)
    {
        return try_apply(delta::update(offset, length, bytes));
    }
    /// Like erase(), but returns the error in the result instead of throwing.
    result<void> try_erase(std::uint64_t offset, std::uint64_t length) { return try_apply(delta::erase(offset, length)); }
    /// Like move(), but returns the error in the result instead of throwing.
    result<void> try_move(std::uint64_t offset, std::uint64_t length, std::uint64_t destination)
    {
        return try_apply(delta::move(offset, length, destination));
    }
    /// Like insert_source(), but returns the error in the result instead of throwing.
    result<void> try_insert_source(std::uint64_t offset, const source &from, const operation &op = {})
    {
        return detail::call(op).run(
            [&](auto *c) { return atlas_projection_insert_source(get(), offset, from.get(), c); });
    }
    /// Like rollback(), but returns the error in the result instead of throwing.
    result<void> try_rollback(std::uint64_t count = 1)
    {
        return without_operation(atlas_projection_rollback(get(), count));
    }
    /// Returns the number of deltas that can be undone; atlas_projection_history_len().
    std::uint64_t history_len() const noexcept { return atlas_projection_history_len(get()); }
    /// Like stats(), but returns the error in the result instead of throwing.
    result<incremental_stats> try_stats() const
    {
        auto c = detail::sized<atlas_incremental_stats>();
        const auto given = atlas_projection_get_incremental_stats(get(), &c);
        return detail::checked<incremental_stats>(
            given, incremental_stats{c.total_updates, c.insert_operations, c.update_operations, c.delete_operations,
                                     c.move_operations, c.rollbacks, c.bytes_modified, c.conservation_violations,
                                     c.avg_update_time_ns});
    }
    /// Like optimize(), but returns the error in the result instead of throwing.
    result<void> try_optimize(const operation &op = {})
    {
        return detail::call(op).run([&](auto *c) { return atlas_projection_optimize(get(), c); });
    }

    /// Like find_damage(), but returns the error in the result instead of throwing.
    result<damage_report> try_find_damage(const regions &where = {}, const operation &op = {}) const
    {
        damage_report found{{}, atlas::status::ok};
        auto outcome = try_each_damage([&](const damage &each) { found.ranges.push_back(each); }, where, op);
        if (!outcome) {
            return outcome.error();
        }
        found.outcome = *outcome;
        return found;
    }
    /// Like each_damage(), but returns the error in the result instead of throwing.
    result<atlas::status> try_each_damage(const damage_callback &told, const regions &where = {},
                                          const operation &op = {}) const
    {
        detail::call call(op);
        detail::damage_told damage(call, told);
        auto given = call.run([&](auto *c) {
            return atlas_projection_find_damage(get(), where.data(), where.size(), damage.fn(), &damage, c);
        });
        switch (given.status()) {
        case atlas::status::ok:
        case atlas::status::witness:
        case atlas::status::conservation:
        case atlas::status::incomplete:
            return given.status();
        default:
            return given.error();
        }
    }
    /// Like repair_file(), but returns the error in the result instead of throwing.
    result<void> try_repair_file(const path_view &path, const damage_callback &agreed, const regions &where = {},
                                 const operation &op = {}) const
    {
        detail::call call(op);
        detail::damage_told damage(call, agreed);
        return call.run([&](auto *c) {
            return atlas_projection_repair_file(get(), path.c_str(), where.data(), where.size(), damage.fn(), &damage,
                                                c);
        });
    }
    /// Like diff(), but returns the error in the result instead of throwing.
    result<std::vector<region>> try_diff(const projection &other, const operation &op = {}) const
    {
        detail::call call(op);
        return detail::list_of_regions(call, [&](auto *c, region *list, std::size_t *count) {
            return atlas_projection_diff(get(), other.get(), c, list, count);
        });
    }

    /// Like transform(), but returns the error in the result instead of throwing.
    result<void> try_transform(const plane_transform &by)
    {
        const atlas_transform_params c = {by.scaling_factor, by.rotation_angle, by.translation_x, by.translation_y};
        return detail::checked(atlas_projection_transform(get(), &c));
    }
    /// Like tile_bounds(), but returns the error in the result instead of throwing.
    result<box> try_tile_bounds(std::uint64_t index) const
    {
        double c[4] = {0, 0, 0, 0};
        const auto given = atlas_projection_tile_bounds(get(), index, c);
        return detail::checked<box>(given, box{c[0], c[1], c[2], c[3]});
    }
    /// Like tile_at(), but returns the error in the result instead of throwing.
    result<std::uint64_t> try_tile_at(double x, double y) const
    {
        std::uint64_t index = 0;
        const auto given = atlas_projection_tile_at(get(), x, y, &index);
        return detail::checked<std::uint64_t>(given, index);
    }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Projects a source: hashes all of its bytes; atlas_projection_create().
    static projection create(const source &from, projection_type type = projection_type::linear,
                             const projection_options &options = {}, const operation &op = {})
    {
        return try_create(from, type, options, op).value();
    }
    /// Projects a source in memory bounded by the configuration; atlas_stream_project().
    static projection stream(const source &from, const stream_config &config = {},
                             projection_type type = projection_type::linear, const projection_options &options = {},
                             const operation &op = {})
    {
        return try_stream(from, config, type, options, op).value();
    }
    /// Returns the properties of the present state; atlas_projection_get_info().
    projection_info info() const { return try_info().value(); }
    /// Returns the root of the present state; atlas_projection_root().
    digest root(const operation &op = {}) const { return try_root(op).value(); }
    /// Returns the properties of a tile; atlas_projection_get_tile().
    tile_info tile(std::uint64_t index) const { return try_tile(index).value(); }
    /// Returns the tiles of the present state, a random-access range.
    ///
    ///     for (const atlas::tile_info &tile : projection.tiles()) total += tile.length;
    inline tile_range tiles() const;
    /// Returns a second handle on the present state; atlas_projection_snapshot().
    projection snapshot() const { return try_snapshot().value(); }
    /// Fills memory with the bytes from `offset` on, not verified; atlas_projection_read().
    void read(std::uint64_t offset, bytes_span to) const { try_read(offset, to).value(); }
    /// Reads and hashes every byte again; atlas_projection_verify().
    void verify(const operation &op = {}) const { try_verify(op).value(); }
    /// Writes the domain to a file, verified; atlas_projection_write_file().
    void write_file(const path_view &path, const operation &op = {}) const { try_write_file(path, op).value(); }

    /// Extracts a region with its proof; atlas_shard_extract().
    shard extract(const region &part, const operation &op = {}) const { return try_extract(part, op).value(); }
    /// Extracts many regions with their proofs, all or none; atlas_shard_extract_batch().
    std::vector<shard> extract_batch(list_view<region> parts, const extract_options &options = {},
                                     const operation &op = {}) const
    {
        return try_extract_batch(parts, options, op).value();
    }
    /// Extracts classes of an R96 projection, one shard per class, of a region or of the whole domain;
    /// atlas_shard_extract_classes().
    std::vector<shard> extract_classes(list_view<std::uint8_t> classes, std::optional<region> part = std::nullopt,
                                       const operation &op = {}) const
    {
        return try_extract_classes(classes, part, op).value();
    }

    /// Sets the configuration of later updates; atlas_projection_configure_incremental().
    void configure_incremental(const incremental_config &config = {}) { try_configure_incremental(config).value(); }
    /// Applies one delta; atlas_projection_apply().
    void apply(const delta &change) { try_apply(change).value(); }
    /// Applies deltas in order, all or none; atlas_projection_apply_batch().
    void apply_batch(list_view<delta> changes) { try_apply_batch(changes).value(); }
    /// Inserts `bytes` before the byte at `offset`.
    void insert(std::uint64_t offset, bytes_view bytes) { try_insert(offset, bytes).value(); }
    /// Replaces `length` bytes at `offset` by `bytes`, whose length may differ.
    void update(std::uint64_t offset, std::uint64_t length, bytes_view bytes)
    {
        try_update(offset, length, bytes).value();
    }
    /// Removes `length` bytes at `offset`.
    void erase(std::uint64_t offset, std::uint64_t length) { try_erase(offset, length).value(); }
    /// Cuts `length` bytes at `offset` and inserts them before the byte that was at `destination` before the move.
    void move(std::uint64_t offset, std::uint64_t length, std::uint64_t destination)
    {
        try_move(offset, length, destination).value();
    }
    /// Inserts all bytes of a source before the byte at `offset`, without a copy; atlas_projection_insert_source().
    void insert_source(std::uint64_t offset, const source &from, const operation &op = {})
    {
        try_insert_source(offset, from, op).value();
    }
    /// Undoes the last deltas; atlas_projection_rollback().
    void rollback(std::uint64_t count = 1) { try_rollback(count).value(); }
    /// Returns counts of the changes so far; atlas_projection_get_incremental_stats().
    incremental_stats stats() const { return try_stats().value(); }
    /// Restores full tiles from offset 0, and empties the history; atlas_projection_optimize().
    void optimize(const operation &op = {}) { try_optimize(op).value(); }

    /// Lists every damaged range; atlas_projection_find_damage(). Damage is no error: the outcome is then
    /// status::witness, or status::conservation if only a sum differs. The outcome status::incomplete means that a base
    /// was not attached.
    [[nodiscard]] damage_report find_damage(const regions &where = {}, const operation &op = {}) const
    {
        return try_find_damage(where, op).value();
    }
    /// Calls a function for each range; false ends the search with status::cancelled. The outcome is that of
    /// find_damage().
    [[nodiscard]] atlas::status each_damage(const damage_callback &told, const regions &where = {},
                                            const operation &op = {}) const
    {
        return try_each_damage(told, where, op).value();
    }
    /// Repairs a file in place: writes the right bytes over each damaged range that the callback accepts;
    /// atlas_projection_repair_file().
    void repair_file(const path_view &path, const damage_callback &agreed, const regions &where = {},
                     const operation &op = {}) const
    {
        try_repair_file(path, agreed, where, op).value();
    }
    /// Returns the ranges whose bytes may differ from the bytes of another projection; atlas_projection_diff().
    std::vector<region> diff(const projection &other, const operation &op = {}) const
    {
        return try_diff(other, op).value();
    }

    /// Maps the tile plane; atlas_projection_transform().
    void transform(const plane_transform &by) { try_transform(by).value(); }
    /// Returns the box around a transformed tile; atlas_projection_tile_bounds().
    box tile_bounds(std::uint64_t index) const { return try_tile_bounds(index).value(); }
    /// Returns the tile at a point of the transformed plane; atlas_projection_tile_at().
    std::uint64_t tile_at(double x, double y) const { return try_tile_at(x, y).value(); }
#endif

private:
    static result<void> without_operation(atlas_status given) { return detail::checked(given); }
};

#if ATLAS_MANIFOLD_EXCEPTIONS
/// The tiles of a projection. Each access calls the projection, which must outlive the range, and throws if that call
/// fails.
class tile_range {
public:
    /// A place in the range.
    class iterator {
    public:
        /// A tile is given by value.
        using value_type = tile_info;
        /// A tile is given by value.
        using reference = tile_info;
        /// Difference of two places.
        using difference_type = std::ptrdiff_t;
        /// Access to a tile's fields.
        class pointer {
        public:
            /// Keeps a tile.
            explicit pointer(const tile_info &held) noexcept : held_(held) {}
            /// The fields of the tile.
            const tile_info *operator->() const noexcept { return &held_; }

        private:
            tile_info held_;
        };
        /// For algorithms of C++17. An iterator that returns values is formally an input iterator, but these algorithms
        /// need nothing that this iterator lacks.
        using iterator_category = std::random_access_iterator_tag;
#if defined(__cpp_lib_ranges)
        /// For std::ranges.
        using iterator_concept = std::random_access_iterator_tag;
#endif

        /// An iterator that belongs to no range.
        iterator() = default;
        /// The place of tile `at`.
        iterator(const projection *of, std::uint64_t at) noexcept : of_(of), at_(at) {}

        /// The tile.
        tile_info operator*() const { return of_->tile(at_); }
        /// The fields of the tile.
        pointer operator->() const { return pointer(**this); }
        /// The tile `by` places further.
        tile_info operator[](difference_type by) const { return *(*this + by); }
        /// Number of the tile.
        std::uint64_t index() const noexcept { return at_; }

        /// The next place.
        iterator &operator++() noexcept { return *this += 1; }
        /// The next place.
        iterator operator++(int) noexcept { return std::exchange(*this, *this + 1); }
        /// The place before.
        iterator &operator--() noexcept { return *this += -1; }
        /// The place before.
        iterator operator--(int) noexcept { return std::exchange(*this, *this + -1); }
        /// Moves the place forward.
        iterator &operator+=(difference_type by) noexcept
        {
            at_ += static_cast<std::uint64_t>(by);
            return *this;
        }
        /// Moves the place back.
        iterator &operator-=(difference_type by) noexcept
        {
            at_ -= static_cast<std::uint64_t>(by);
            return *this;
        }
        /// Returns the place `by` tiles further.
        friend iterator operator+(iterator from, difference_type by) noexcept { return from += by; }
        /// Returns the place `by` tiles further.
        friend iterator operator+(difference_type by, iterator from) noexcept { return from += by; }
        /// Returns the place `by` tiles before.
        friend iterator operator-(iterator from, difference_type by) noexcept { return from -= by; }
        /// Returns the number of tiles from `right` to `left`.
        friend difference_type operator-(const iterator &left, const iterator &right) noexcept
        {
            return static_cast<difference_type>(left.at_ - right.at_);
        }
        /// True if both are the same place.
        friend bool operator==(const iterator &left, const iterator &right) noexcept { return left.at_ == right.at_; }
        /// True if they differ.
        friend bool operator!=(const iterator &left, const iterator &right) noexcept { return left.at_ != right.at_; }
        /// True if `left` comes before `right`.
        friend bool operator<(const iterator &left, const iterator &right) noexcept { return left.at_ < right.at_; }
        /// True if `right` comes before `left`.
        friend bool operator>(const iterator &left, const iterator &right) noexcept { return right < left; }
        /// True if `right` does not come before `left`.
        friend bool operator<=(const iterator &left, const iterator &right) noexcept { return !(right < left); }
        /// True if `left` does not come before `right`.
        friend bool operator>=(const iterator &left, const iterator &right) noexcept { return !(left < right); }

    private:
        const projection *of_ = nullptr;
        std::uint64_t at_ = 0;
    };
    /// The tiles are never writable, so that iterator and const_iterator are the same type.
    using const_iterator = iterator;

    /// The first `count` tiles of a projection.
    tile_range(const projection &of, std::uint64_t count) noexcept : of_(&of), count_(count) {}

    /// The first tile.
    iterator begin() const noexcept { return {of_, 0}; }
    /// Behind the last tile.
    iterator end() const noexcept { return {of_, count_}; }
    /// Number of tiles when the range was made.
    std::size_t size() const noexcept { return static_cast<std::size_t>(count_); }
    /// True if there is no tile.
    bool empty() const noexcept { return count_ == 0; }
    /// A tile.
    tile_info operator[](std::size_t at) const { return of_->tile(at); }

private:
    const projection *of_;
    std::uint64_t count_;
};

inline tile_range projection::tiles() const { return {*this, info().tile_count}; }
#endif

// ---- Reconstruction ----------------------------------------------------------------------------------------------

/// Collects shards until the domain is whole; atlas_reconstruction.
class reconstruction : public detail::handle<atlas_reconstruction, atlas_reconstruction_destroy> {
public:
    using handle::handle;

    /// Like create(), but returns the error in the result instead of throwing.
    static result<reconstruction> try_create(const reconstruction_options &options = {})
    {
        const auto raw = options.raw();
        atlas_reconstruction *made = nullptr;
        const auto given = atlas_reconstruction_create(&raw, &made);
        return detail::checked<reconstruction>(given, reconstruction(made));
    }
    /// Like add(), but returns the error in the result instead of throwing.
    result<void> try_add(const shard &part, const operation &op = {})
    {
        return detail::call(op).run([&](auto *c) { return atlas_reconstruction_add(get(), part.get(), c); });
    }
    /// True if every byte was added; atlas_reconstruction_is_complete().
    bool complete() const noexcept { return atlas_reconstruction_is_complete(get()); }
    /// Returns the number of further classes that an R96 domain needs; atlas_reconstruction_classes_needed().
    std::uint32_t classes_needed() const noexcept { return atlas_reconstruction_classes_needed(get()); }
    /// Like missing(), but returns the error in the result instead of throwing.
    result<std::vector<region>> try_missing() const
    {
        const operation plain;
        detail::call call(plain);
        return detail::list_of_regions(call, [&](const atlas_operation *, region *list, std::size_t *count) {
            return atlas_reconstruction_missing(get(), list, count);
        });
    }
    /// Like finish(), but returns the error in the result instead of throwing.
    result<projection> try_finish(const operation &op = {})
    {
        return detail::call(op).make<projection>(
            [&](auto *c, auto **out) { return atlas_reconstruction_finish(get(), c, out); });
    }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Begins a reconstruction; atlas_reconstruction_create().
    static reconstruction create(const reconstruction_options &options = {}) { return try_create(options).value(); }
    /// Verifies a shard and takes its bytes; atlas_reconstruction_add().
    void add(const shard &part, const operation &op = {}) { try_add(part, op).value(); }
    /// Returns the ranges that are still missing; atlas_reconstruction_missing().
    std::vector<region> missing() const { return try_missing().value(); }
    /// Returns the projection of the rebuilt domain; atlas_reconstruction_finish().
    projection finish(const operation &op = {}) { return try_finish(op).value(); }
#endif
};

// ---- Streams -----------------------------------------------------------------------------------------------------

/// Chunks that are pulled from a source, or bytes that are pushed; atlas_stream.
///
///     auto stream = atlas::stream::open(source);
///     for (const atlas::chunk &chunk : stream) consume(chunk.data);
///     auto projection = stream.finish();
class stream {
public:
    /// Streams nothing.
    stream() = default;
    /// Takes over a C handle.
    explicit stream(atlas_stream *taken) : stream(std::make_unique<running>(operation())) { handle_.reset(taken); }

    /// Like open(), but returns the error in the result instead of throwing.
    static result<stream> try_open(const source &from, const stream_config &config = {},
                                   projection_type type = projection_type::linear,
                                   const projection_options &options = {}, const operation &op = {})
    {
        const auto raw = options.raw();
        return begin_with(op, [&](auto *c, auto **out) {
            return atlas_stream_open(detail::number(type), from.get(), &raw, &config.raw(), c, out);
        });
    }
    /// Like open_push(), but returns the error in the result instead of throwing.
    static result<stream> try_open_push(const stream_config &config = {},
                                        projection_type type = projection_type::linear,
                                        const projection_options &options = {}, const operation &op = {})
    {
        return begin_to(nullptr, config, type, options, op);
    }
    /// Like open_push_file(), but returns the error in the result instead of throwing.
    static result<stream> try_open_push_file(const path_view &path, const stream_config &config = {},
                                             projection_type type = projection_type::linear,
                                             const projection_options &options = {}, const operation &op = {})
    {
        return begin_to(path.c_str(), config, type, options, op);
    }
    /// Like push(), but returns the error in the result instead of throwing.
    result<void> try_push(bytes_view bytes)
    {
        return settle(atlas_stream_push(get(), bytes.data(), bytes.size()));
    }
    /// Like next(), but returns the error in the result instead of throwing.
    result<std::optional<chunk>> try_next()
    {
        auto c = detail::sized<atlas_chunk>();
        bool has_chunk = false;
        auto given = settle(atlas_stream_next(get(), &c, &has_chunk));
        if (!given) {
            return given.error();
        }
        if (!has_chunk) {
            return std::optional<chunk>();
        }
        return std::optional<chunk>(chunk{c.id, c.offset, c.residue, {c.data, c.size}, {c.overlap, c.overlap_size}});
    }
    /// Like progress(), but returns the error in the result instead of throwing.
    result<progress_state> try_progress() const
    {
        auto c = detail::sized<atlas_progress>();
        const auto given = atlas_stream_get_progress(get(), &c);
        return detail::checked<progress_state>(
            given, progress_state{c.bytes_done, c.bytes_total, c.chunks_done, c.chunks_total});
    }
    /// True if every byte was processed; atlas_stream_is_complete().
    bool complete() const noexcept { return atlas_stream_is_complete(get()); }
    /// Like finish(), but returns the error in the result instead of throwing.
    result<projection> try_finish()
    {
        atlas_projection *made = nullptr;
        const auto status = atlas_stream_finish(get(), &made);
        projection owned(made);
        auto given = settle(status);
        if (!given) {
            return given.error();
        }
        return owned;
    }

    /// The C handle, which stays owned.
    atlas_stream *get() const noexcept { return handle_.get(); }
    /// True if this handle owns an object.
    explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
    /// Releases the C handle together with the operation that it runs with, which must be destroyed after the handle.
    [[nodiscard]] std::pair<atlas_stream *, std::shared_ptr<void>> release() noexcept
    {
        return {handle_.release(), std::shared_ptr<void>(std::move(running_))};
    }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Begins to stream a source; atlas_stream_open(). The operation is copied; a pool that it names must outlive the
    /// stream.
    static stream open(const source &from, const stream_config &config = {},
                       projection_type type = projection_type::linear, const projection_options &options = {},
                       const operation &op = {})
    {
        return try_open(from, config, type, options, op).value();
    }
    /// Begins a stream of bytes that are pushed and stay in memory; atlas_stream_open_push().
    static stream open_push(const stream_config &config = {}, projection_type type = projection_type::linear,
                            const projection_options &options = {}, const operation &op = {})
    {
        return try_open_push(config, type, options, op).value();
    }
    /// Begins a stream of bytes that are pushed and become a file; atlas_stream_open_push().
    static stream open_push_file(const path_view &path, const stream_config &config = {},
                                 projection_type type = projection_type::linear,
                                 const projection_options &options = {}, const operation &op = {})
    {
        return try_open_push_file(path, config, type, options, op).value();
    }
    /// Takes bytes; atlas_stream_push().
    void push(bytes_view bytes) { try_push(bytes).value(); }
    /// Returns the next chunk, or nothing at the end; atlas_stream_next().
    std::optional<chunk> next() { return try_next().value(); }
    /// Returns the progress; atlas_stream_get_progress().
    progress_state progress() const { return try_progress().value(); }
    /// Processes the remaining bytes of the source and returns the projection; atlas_stream_finish().
    projection finish() { return try_finish().value(); }

    /// Pulls chunk after chunk.
    class iterator {
    public:
        /// A chunk.
        using value_type = chunk;
        /// A chunk, valid until the next chunk is pulled.
        using reference = const chunk &;
        /// A chunk, valid until the next chunk is pulled.
        using pointer = const chunk *;
        /// Required of iterators; no distance is ever computed.
        using difference_type = std::ptrdiff_t;
        /// Each chunk once.
        using iterator_category = std::input_iterator_tag;

        /// The end.
        iterator() = default;
        /// Pulls the first chunk.
        explicit iterator(stream &from) : from_(&from), at_(from.next()) {}

        /// The chunk.
        reference operator*() const noexcept { return *at_; }
        /// The chunk.
        pointer operator->() const noexcept { return &*at_; }
        /// Pulls the next chunk.
        iterator &operator++()
        {
            at_ = from_->next();
            return *this;
        }
        /// Pulls the next chunk.
        void operator++(int) { ++*this; }
        /// True if both iterators are at the end, or neither is.
        friend bool operator==(const iterator &left, const iterator &right) noexcept
        {
            return left.at_.has_value() == right.at_.has_value();
        }
        /// True if exactly one iterator is at the end.
        friend bool operator!=(const iterator &left, const iterator &right) noexcept { return !(left == right); }

    private:
        stream *from_ = nullptr;
        std::optional<chunk> at_;
    };

    /// Pulls the first chunk.
    iterator begin() { return iterator(*this); }
    /// Behind the last chunk.
    iterator end() noexcept { return iterator(); }
#endif

private:
    // An operation with a fixed address, because C keeps a pointer to it.
    struct running {
        explicit running(const operation &from) : op(from), call(op) {}

        operation op;
        detail::call call;
    };

    explicit stream(std::unique_ptr<running> with) noexcept : running_(std::move(with)) {}

    template <typename F> static result<stream> begin_with(const operation &op, F &&f)
    {
        stream made(std::make_unique<running>(op));
        auto given = made.running_->call.run([&](auto *c) {
            atlas_stream *opened = nullptr;
            const atlas_status status = f(c, &opened);
            made.handle_.reset(opened);
            return status;
        });
        if (!given) {
            return given.error();
        }
        return made;
    }
    static result<stream> begin_to(const char *path, const stream_config &config, projection_type type,
                                   const projection_options &options, const operation &op)
    {
        const auto raw = options.raw();
        return begin_with(op, [&](auto *c, auto **out) {
            return atlas_stream_open_push(detail::number(type), path, &raw, &config.raw(), c, out);
        });
    }
    result<void> settle(atlas_status given)
    {
        if (running_) {
            running_->call.rethrow();
        }
        return detail::checked(given);
    }

    // Declared in this order, so that the handle is destroyed first.
    std::unique_ptr<running> running_;
    detail::handle<atlas_stream, atlas_stream_destroy> handle_;
};

// ---- Containers --------------------------------------------------------------------------------------------------

/// One file with the generations of one projection; atlas_container. With a base it is an outline of a file that stays
/// in place.
class container : public detail::handle<atlas_container, atlas_container_destroy> {
public:
    using handle::handle;

    /// Like create(), but returns the error in the result instead of throwing.
    static result<container> try_create(const path_view &path, projection_type type = projection_type::linear,
                                        const container_create_options &create = {},
                                        const projection_options &options = {}, const operation &op = {})
    {
        const auto raw_create = create.raw();
        const auto raw = options.raw();
        return detail::call(op).make<container>([&](auto *c, auto **out) {
            return atlas_container_create(path.c_str(), detail::number(type), &raw, &raw_create, c, out);
        });
    }
    /// Like open(), but returns the error in the result instead of throwing.
    static result<container> try_open(const path_view &path, container_mode mode = container_mode::read,
                                      const verify_options &trust = {}, const container_open_options &options = {},
                                      const operation &op = {})
    {
        const auto verify = trust.raw();
        const auto raw = options.raw();
        return detail::call(op).make<container>([&](auto *c, auto **out) {
            return atlas_container_open(path.c_str(), detail::number(mode), &verify, &raw, c, out);
        });
    }
    /// Like open_source(), but returns the error in the result instead of throwing.
    static result<container> try_open_source(const source &from, const verify_options &trust = {},
                                             const container_open_options &options = {}, const operation &op = {})
    {
        const auto verify = trust.raw();
        const auto raw = options.raw();
        return detail::call(op).make<container>([&](auto *c, auto **out) {
            return atlas_container_open_source(from.get(), &verify, &raw, c, out);
        });
    }
    /// Like merge(), but returns the error in the result instead of throwing.
    static result<container> try_merge(list_view<container> parts, const path_view &path,
                                       const container_create_options &create = {}, const commit_options &commit = {},
                                       const operation &op = {})
    {
        const auto handles = detail::handles_of(parts);
        const auto raw_create = create.raw();
        const auto raw = commit.raw();
        return detail::call(op).make<container>([&](auto *c, auto **out) {
            return atlas_container_merge(handles.data(), handles.size(), path.c_str(), &raw_create, &raw, c, out);
        });
    }
    /// Like info(), but returns the error in the result instead of throwing.
    result<container_info> try_info() const
    {
        auto c = detail::sized<atlas_container_info>();
        const auto given = atlas_container_get_info(get(), &c);
        container_info made{static_cast<projection_type>(c.type),
                            c.r96_data_classes,
                            c.keyed != 0,
                            static_cast<conservation_policy>(c.conservation),
                            c.writable != 0,
                            c.keeps_chains != 0,
                            c.block_size,
                            c.newest,
                            c.oldest,
                            c.generation_count,
                            c.lost,
                            c.file_size,
                            c.base_size,
                            {}};
        std::memcpy(made.id.data(), c.id, made.id.size());
        return detail::checked<container_info>(given, made);
    }
    /// Like generation(), but returns the error in the result instead of throwing.
    result<generation_info> try_generation(std::uint64_t number = 0) const
    {
        auto c = detail::sized<atlas_generation_info>();
        const auto given = atlas_container_get_generation(get(), number, &c);
        return detail::checked<generation_info>(given, generation_info{c.generation, c.previous, c.residue, c.time,
                                                                       c.domain_size, c.tile_count, c.note_size,
                                                                       digest(c.root), digest(c.history)});
    }
    /// Like note(), but returns the error in the result instead of throwing.
    result<std::string> try_note(std::uint64_t number = 0) const
    {
        std::string text(1024, '\0');
        std::size_t size = text.size();
        if (atlas_container_get_note(get(), number, text.data(), &size) != ATLAS_STATUS_OK) {
            return detail::call::failure();
        }
        text.resize(size < text.size() ? size : text.size());
        return text;
    }
    /// Like snapshot(), but returns the error in the result instead of throwing.
    result<projection> try_snapshot(std::uint64_t number = 0, bool verify_reads = false, const operation &op = {}) const
    {
        return detail::call(op).make<projection>([&](auto *c, auto **out) {
            return atlas_container_snapshot(get(), number, verify_reads ? 1 : 0, c, out);
        });
    }
    /// Like commit(), but returns the error in the result instead of throwing.
    result<std::uint64_t> try_commit(const projection &from, const commit_options &options = {},
                                     const operation &op = {})
    {
        const auto raw = options.raw();
        return numbered(op, [&](auto *c, std::uint64_t *made) {
            return atlas_container_commit(get(), from.get(), &raw, c, made);
        });
    }
    /// Like import_source(), but returns the error in the result instead of throwing.
    result<std::uint64_t> try_import_source(const source &from, const regions &where = {},
                                            const commit_options &options = {}, const operation &op = {})
    {
        const auto raw = options.raw();
        return numbered(op, [&](auto *c, std::uint64_t *made) {
            return atlas_container_import(get(), from.get(), where.data(), where.size(), &raw, c, made);
        });
    }
    /// Like set_base(), but returns the error in the result instead of throwing.
    result<void> try_set_base(const source &base) { return detail::checked(atlas_container_set_base(get(), base.get())); }
    /// Like clear_base(), but returns the error in the result instead of throwing.
    result<void> try_clear_base() { return detail::checked(atlas_container_set_base(get(), nullptr)); }
    /// Like refresh(), but returns the error in the result instead of throwing.
    result<std::uint64_t> try_refresh(const operation &op = {})
    {
        return numbered(op,
                        [&](auto *c, std::uint64_t *newest) { return atlas_container_refresh(get(), c, newest); });
    }
    /// Like compact(), but returns the error in the result instead of throwing.
    result<void> try_compact(std::uint64_t keep_from = 0, const operation &op = {})
    {
        return detail::call(op).run(
            [&](auto *c) { return atlas_container_compact(get(), nullptr, keep_from, c); });
    }
    /// Like compact_to(), but returns the error in the result instead of throwing.
    result<void> try_compact_to(const path_view &path, std::uint64_t keep_from = 0, const operation &op = {})
    {
        return detail::call(op).run(
            [&](auto *c) { return atlas_container_compact(get(), path.c_str(), keep_from, c); });
    }
    /// Like find_damage(), but returns the error in the result instead of throwing.
    result<damage_report> try_find_damage(std::uint64_t from = 0, const operation &op = {}) const
    {
        damage_report found{{}, atlas::status::ok};
        auto outcome = try_each_damage([&](const damage &each) { found.ranges.push_back(each); }, from, op);
        if (!outcome) {
            return outcome.error();
        }
        found.outcome = *outcome;
        return found;
    }
    /// Like each_damage(), but returns the error in the result instead of throwing.
    result<atlas::status> try_each_damage(const damage_callback &told, std::uint64_t from = 0,
                                          const operation &op = {}) const
    {
        detail::call call(op);
        detail::damage_told damage(call, told);
        auto given = call.run(
            [&](auto *c) { return atlas_container_find_damage(get(), from, damage.fn(), &damage, c); });
        switch (given.status()) {
        case atlas::status::ok:
        case atlas::status::witness:
        case atlas::status::format:
        case atlas::status::conservation:
        case atlas::status::unsupported:
        case atlas::status::incomplete:
            return given.status();
        default:
            return given.error();
        }
    }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Makes a container without a generation, for writing; atlas_container_create().
    static container create(const path_view &path, projection_type type = projection_type::linear,
                            const container_create_options &create = {}, const projection_options &options = {},
                            const operation &op = {})
    {
        return try_create(path, type, create, options, op).value();
    }
    /// Opens a container; atlas_container_open().
    static container open(const path_view &path, container_mode mode = container_mode::read,
                          const verify_options &trust = {}, const container_open_options &options = {},
                          const operation &op = {})
    {
        return try_open(path, mode, trust, options, op).value();
    }
    /// Opens a container that a source holds; atlas_container_open_source().
    static container open_source(const source &from, const verify_options &trust = {},
                                 const container_open_options &options = {}, const operation &op = {})
    {
        return try_open_source(from, trust, options, op).value();
    }
    /// Joins the domains of the newest generations of `parts`, in order, as generation 1 of a new container;
    /// atlas_container_merge().
    static container merge(list_view<container> parts, const path_view &path,
                           const container_create_options &create = {}, const commit_options &commit = {},
                           const operation &op = {})
    {
        return try_merge(parts, path, create, commit, op).value();
    }
    /// Returns the properties of the container; atlas_container_get_info().
    container_info info() const { return try_info().value(); }
    /// Returns the properties of a generation; 0 means the newest; atlas_container_get_generation().
    generation_info generation(std::uint64_t number = 0) const { return try_generation(number).value(); }
    /// Returns the note of a generation; 0 means the newest; atlas_container_get_note().
    std::string note(std::uint64_t number = 0) const { return try_note(number).value(); }
    /// Creates a projection of a generation; 0 means the newest; atlas_container_snapshot().
    projection snapshot(std::uint64_t number = 0, bool verify_reads = false, const operation &op = {}) const
    {
        return try_snapshot(number, verify_reads, op).value();
    }
    /// Makes a projection the newest generation, and returns the number of the generation; atlas_container_commit().
    std::uint64_t commit(const projection &from, const commit_options &options = {}, const operation &op = {})
    {
        return try_commit(from, options, op).value();
    }
    /// Makes a source the newest generation, and returns the number of the generation; atlas_container_import().
    std::uint64_t import_source(const source &from, const regions &where = {}, const commit_options &options = {},
                                const operation &op = {})
    {
        return try_import_source(from, where, options, op).value();
    }
    /// Attaches another base; atlas_container_set_base().
    void set_base(const source &base) { try_set_base(base).value(); }
    /// Detaches the base; atlas_container_set_base().
    void clear_base() { try_clear_base().value(); }
    /// Looks for newer generations, and returns the number of the newest; atlas_container_refresh().
    std::uint64_t refresh(const operation &op = {}) { return try_refresh(op).value(); }
    /// Drops the generations before `keep_from` from the container itself; atlas_container_compact().
    void compact(std::uint64_t keep_from = 0, const operation &op = {}) { try_compact(keep_from, op).value(); }
    /// Writes generations from `keep_from` on to a new file; atlas_container_compact().
    void compact_to(const path_view &path, std::uint64_t keep_from = 0, const operation &op = {})
    {
        try_compact_to(path, keep_from, op).value();
    }
    /// Lists every damaged record and range of the generations from `from` on; atlas_container_find_damage(). Damage is
    /// no error: the outcome is then the status of the first fault.
    [[nodiscard]] damage_report find_damage(std::uint64_t from = 0, const operation &op = {}) const
    {
        return try_find_damage(from, op).value();
    }
    /// Calls a function for each range; false ends the search with status::cancelled.
    [[nodiscard]] atlas::status each_damage(const damage_callback &told, std::uint64_t from = 0,
                                            const operation &op = {}) const
    {
        return try_each_damage(told, from, op).value();
    }
#endif

private:
    template <typename F> static result<std::uint64_t> numbered(const operation &op, F &&f)
    {
        std::uint64_t made = 0;
        auto given = detail::call(op).run([&](auto *c) { return f(c, &made); });
        if (!given) {
            return given.error();
        }
        return made;
    }
};

// ---- Parity files ------------------------------------------------------------------------------------------------

/// A file by which damaged parts of another file are found and rebuilt; atlas_parity.
class parity : public detail::handle<atlas_parity, atlas_parity_destroy> {
public:
    using handle::handle;

    /// Like create(), but returns the error in the result instead of throwing.
    static result<void> try_create(const source &of, const path_view &path, const parity_options &options = {},
                                   const operation &op = {})
    {
        const auto raw = options.raw();
        return detail::call(op).run(
            [&](auto *c) { return atlas_parity_create(of.get(), path.c_str(), &raw, c); });
    }
    /// Like open(), but returns the error in the result instead of throwing.
    static result<parity> try_open(const path_view &path, const verify_options &trust = {}, const operation &op = {})
    {
        const auto verify = trust.raw();
        return detail::call(op).make<parity>(
            [&](auto *c, auto **out) { return atlas_parity_open(path.c_str(), &verify, c, out); });
    }
    /// Like info(), but returns the error in the result instead of throwing.
    result<parity_info> try_info() const
    {
        auto c = detail::sized<atlas_parity_info>();
        const auto given = atlas_parity_get_info(get(), &c);
        parity_info made{c.unit_size,
                         c.protected_size,
                         c.parity_size,
                         c.rows,
                         c.data_columns,
                         c.parity_columns,
                         c.burst_size,
                         c.keyed != 0,
                         c.has_root != 0 ? std::optional<digest>(digest(c.root)) : std::nullopt,
                         {}};
        std::memcpy(made.id.data(), c.id, made.id.size());
        return detail::checked<parity_info>(given, made);
    }
    /// Like check(), but returns the error in the result instead of throwing.
    result<parity_report> try_check(const source &of, const damage_callback &told = {}, const operation &op = {}) const
    {
        detail::call call(op);
        detail::damage_told damage(call, told);
        auto c = detail::sized<atlas_parity_report>();
        auto given = call.run(
            [&](auto *run) { return atlas_parity_check(get(), of.get(), damage.fn(), &damage, run, &c); });
        switch (given.status()) {
        case atlas::status::ok:
        case atlas::status::witness:
        case atlas::status::incomplete:
            return report_of(c);
        default:
            return given.error();
        }
    }
    /// Like repair(), but returns the error in the result instead of throwing.
    result<parity_report> try_repair(const path_view &path, const repair_options &options,
                                     const damage_callback &agreed = {}, const operation &op = {},
                                     parity_report *report = nullptr) const
    {
        detail::call call(op);
        detail::damage_told damage(call, agreed, false);
        const auto raw = options.raw();
        auto c = detail::sized<atlas_parity_report>();
        auto given = call.run([&](auto *run) {
            return atlas_parity_repair(get(), path.c_str(), &raw, damage.fn(), &damage, run, &c);
        });
        if (report != nullptr) {
            *report = report_of(c);
        }
        if (!given) {
            return given.error();
        }
        return report_of(c);
    }
    /// Like restore(), but returns the error in the result instead of throwing.
    result<void> try_restore(const source &of, const path_view &path, const operation &op = {}) const
    {
        return detail::call(op).run(
            [&](auto *c) { return atlas_parity_restore(get(), of.get(), path.c_str(), c); });
    }
    /// Like update(), but returns the error in the result instead of throwing.
    result<void> try_update(const source &of, list_view<region> changed, const path_view &path,
                            const parity_options &options = {}, const operation &op = {}) const
    {
        const auto raw = options.raw();
        return detail::call(op).run([&](auto *c) {
            return atlas_parity_update(get(), of.get(), changed.data(), changed.size(), path.c_str(), &raw, c);
        });
    }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Writes the parity file of a source; atlas_parity_create().
    static void create(const source &of, const path_view &path, const parity_options &options = {},
                       const operation &op = {})
    {
        try_create(of, path, options, op).value();
    }
    /// Opens a parity file; atlas_parity_open().
    static parity open(const path_view &path, const verify_options &trust = {}, const operation &op = {})
    {
        return try_open(path, trust, op).value();
    }
    /// Returns the properties of the parity file; atlas_parity_get_info().
    parity_info info() const { return try_info().value(); }
    /// Looks for damage in a source and in the parity file; atlas_parity_check(). Damage is no error: the report has
    /// the verdicts.
    [[nodiscard]] parity_report check(const source &of, const damage_callback &told = {},
                                      const operation &op = {}) const
    {
        return try_check(of, told, op).value();
    }
    /// Repairs a file; atlas_parity_repair(). Throws if damage remains; `report` is filled in that case too.
    parity_report repair(const path_view &path, const repair_options &options, const damage_callback &agreed = {},
                         const operation &op = {}, parity_report *report = nullptr) const
    {
        return try_repair(path, options, agreed, op, report).value();
    }
    /// Writes the parity file again, byte for byte as it was first written; atlas_parity_restore().
    void restore(const source &of, const path_view &path, const operation &op = {}) const
    {
        try_restore(of, path, op).value();
    }
    /// Writes the parity file of a source that was changed on purpose; atlas_parity_update().
    void update(const source &of, list_view<region> changed, const path_view &path, const parity_options &options = {},
                const operation &op = {}) const
    {
        try_update(of, changed, path, options, op).value();
    }
#endif

private:
    static parity_report report_of(const atlas_parity_report &c) noexcept
    {
        return {static_cast<parity_verdict>(c.data),
                static_cast<parity_verdict>(c.parity),
                c.size,
                c.bad_units,
                c.unknown_units,
                c.bad_parity_units,
                c.bad_blocks,
                c.damaged_rows,
                c.lost_rows,
                c.repaired_units};
    }
};

// ---- Benchmarks --------------------------------------------------------------------------------------------------

/// Results of a benchmark run; atlas_benchmark_report.
class benchmark_report : public detail::handle<atlas_benchmark_report, atlas_benchmark_report_destroy> {
public:
    using handle::handle;

    /// Like run(), but returns the error in the result instead of throwing.
    static result<benchmark_report> try_run(const benchmark_config &config = {}, const operation &op = {})
    {
        const auto raw = config.raw();
        return detail::call(op).make<benchmark_report>(
            [&](auto *c, auto **out) { return atlas_benchmark_run(&raw, c, out); });
    }
    /// Returns the number of results; atlas_benchmark_report_count().
    std::size_t size() const noexcept { return atlas_benchmark_report_count(get()); }
    /// Like at(), but returns the error in the result instead of throwing.
    result<benchmark_result> try_at(std::size_t index) const
    {
        auto c = detail::sized<atlas_benchmark_result>();
        const auto given = atlas_benchmark_report_get(get(), index, &c);
        return detail::checked<benchmark_result>(
            given, benchmark_result{c.name == nullptr ? "" : c.name, c.data_size, c.iterations, c.min_ns, c.max_ns,
                                    c.mean_ns, c.median_ns, c.stddev_ns, c.bytes_per_second});
    }
    /// Like format(), but returns the error in the result instead of throwing.
    result<buffer> try_format(report_format as) const
    {
        atlas_buffer made = {nullptr, 0};
        const auto given = atlas_benchmark_report_format(get(), detail::number(as), &made);
        return detail::checked<buffer>(given, buffer(made));
    }

#if ATLAS_MANIFOLD_EXCEPTIONS
    /// Measures the library on this machine; atlas_benchmark_run().
    static benchmark_report run(const benchmark_config &config = {}, const operation &op = {})
    {
        return try_run(config, op).value();
    }
    /// Returns result `index`, in the order of measurement; atlas_benchmark_report_get().
    benchmark_result at(std::size_t index) const { return try_at(index).value(); }
    /// Returns all results as text, JSON or CSV; atlas_benchmark_report_format().
    buffer format(report_format as) const { return try_format(as).value(); }
#endif
};

} // inline namespace
} // namespace atlas

/// Makes atlas::digest a key of unordered containers.
template <> struct std::hash<atlas::digest> {
    /// The hash of a digest.
    std::size_t operator()(const atlas::digest &of) const noexcept { return of.hash(); }
};

#if defined(__cpp_lib_ranges) && ATLAS_MANIFOLD_EXCEPTIONS
template <> inline constexpr bool std::ranges::enable_borrowed_range<atlas::tile_range> = true;
#endif

#undef ATLAS_MANIFOLD_PUBLIC
#undef ATLAS_MANIFOLD_COLD

#endif // ATLAS_MANIFOLD_HPP
