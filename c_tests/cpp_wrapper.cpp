// atlas_manifold.hpp in use, and nothing of atlas_manifold.h: check_cpp_names.sh compares the C functions that this
// program calls with all that there are.
#include <atlas_manifold.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <set>
#include <sstream>
#include <thread>
#include <unordered_set>

namespace {

namespace fs = std::filesystem;
using bytes = std::vector<std::uint8_t>;

constexpr std::size_t tile = 1048576;

int failures = 0;

void fail(int line, const char *what)
{
    failures++;
    std::fprintf(stderr, "cpp_wrapper.cpp:%d: failed: %s\n    last error: %s\n", line, what, atlas::last_error().what());
}
#define CHECK(...) ((__VA_ARGS__) ? void() : fail(__LINE__, #__VA_ARGS__))

// The error that f throws.
template <typename F> atlas::error error_of(int line, F &&f)
{
    try {
        f();
    } catch (const atlas::error &failed) {
        return failed;
    }
    fail(line, "an atlas::error must come");
    return atlas::error(atlas::status::ok, "nothing");
}
#define ERROR_OF(...) error_of(__LINE__, [&] { (void)(__VA_ARGS__); })
#define CHECK_STATUS(wanted, ...) CHECK(ERROR_OF(__VA_ARGS__).status() == atlas::status::wanted)

// Thrown by the callbacks of this program: no type of the library or of std.
struct thrown_here {
    int number;
};

template <typename F> int number_of(int line, F &&f)
{
    try {
        f();
    } catch (const thrown_here &thrown) {
        return thrown.number;
    }
    fail(line, "the exception of the callback must come");
    return -1;
}
#define NUMBER_OF(...) number_of(__LINE__, [&] { (void)(__VA_ARGS__); })

bytes make_data(std::size_t size, std::uint32_t seed = 1)
{
    bytes data(size);
    std::uint32_t state = seed;
    for (auto &byte : data) {
        state = state * 1664525 + 1013904223;
        byte = static_cast<std::uint8_t>(state >> 24);
    }
    return data;
}

// A folder that is gone at the end.
struct folder {
    folder()
    {
        std::string name = (fs::temp_directory_path() / "atlas-cpp-XXXXXX").string();
        CHECK(mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~folder() { fs::remove_all(path); }
    fs::path operator/(const char *name) const { return path / name; }

    fs::path path;
};

void write(const fs::path &path, const bytes &data)
{
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char *>(data.data()),
                                                static_cast<std::streamsize>(data.size()));
}

bytes read(const fs::path &path)
{
    std::ifstream file(path, std::ios::binary);
    return bytes(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

bytes bytes_of(const atlas::projection &projection)
{
    bytes all(projection.info().domain_size);
    projection.read(0, all);
    return all;
}

void the_library()
{
    CHECK(atlas::version() == atlas::header_version);
    CHECK(atlas::version_string() == std::to_string(atlas::version() >> 16) + '.' +
                                         std::to_string(atlas::version() >> 8 & 0xFF) + '.' +
                                         std::to_string(atlas::version() & 0xFF));
    CHECK(atlas::has(atlas::feature::container));
    CHECK((atlas::features() & static_cast<std::uint64_t>(atlas::feature::container)) != 0);
    CHECK(atlas::name(atlas::status::witness) == "ATLAS_STATUS_WITNESS");
    CHECK(atlas::name(static_cast<atlas::status>(99)) != "");
    atlas::trim();
}

void digests()
{
    const auto abc = atlas::digest::of(std::string_view("abc"));
    CHECK(abc.hex() == "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
    CHECK(atlas::digest::from_hex(abc.hex()) == abc);
    CHECK(atlas::digest::from_hex("6437B3AC38465133FFB63B75273A8DB548C558465D79DB03FD359C6CD5BD9D85") == abc);
    CHECK(!atlas::digest::from_hex(abc.hex().substr(1)) && !atlas::digest::from_hex(std::string(64, 'g')));
    const atlas::digest none;
    CHECK(none < abc && abc > none && none <= none && abc >= none && none != abc);
    CHECK(none[31] == 0 && abc[0] == 0x64 && std::distance(abc.begin(), abc.end()) == 32);
    std::unordered_set<atlas::digest> table = {abc, none, abc};
    CHECK(table.size() == 2 && table.count(abc) == 1);
    std::ostringstream out;
    out << abc;
    CHECK(out.str() == abc.hex());
}

void errors()
{
    const auto data = make_data(3 * tile);
    const auto projection = atlas::projection::create(atlas::source::borrow(data));
    const auto outside = ERROR_OF(projection.extract({data.size() - 1, 2}));
    CHECK(outside.status() == atlas::status::out_of_range && std::string(outside.what()).find("3145727") != std::string::npos);
    CHECK(outside.os_error() == 0);
    const std::vector<atlas::region> three = {{0, 1}, {1, 1}, {data.size(), 1}};
    const auto third = ERROR_OF(projection.extract_batch(three));
    CHECK(third.index() == 2u && third.status() == atlas::status::out_of_range);
    const auto absent = ERROR_OF(atlas::source::open("/nowhere/file"));
    CHECK(absent.status() == atlas::status::io && absent.os_error() == ENOENT);
    CHECK(std::string(absent.what()).find("/nowhere/file") != std::string::npos);
    CHECK_STATUS(invalid_argument, atlas::source::open(std::string("/tmp\0/x", 7)));

    const auto refused = projection.try_extract({data.size() - 1, 2});
    CHECK(!refused && !refused.has_value() && refused.status() == atlas::status::out_of_range);
    CHECK(refused.error().what() == std::string(outside.what()));
    CHECK_STATUS(out_of_range, refused.value());
    auto good = projection.try_extract({0, 2});
    CHECK(good && good.status() == atlas::status::ok && good->info().region.length == 2 && (*good).info().keyed == false);
    CHECK(projection.try_root().value_or(atlas::digest()) == projection.root());
    CHECK(atlas::result<int>(atlas::error(atlas::status::limit, "text")).value_or(7) == 7);
    CHECK(atlas::source::try_copy(data).and_then([](auto source) { return atlas::projection::try_create(source); })->root() ==
          projection.root());
    CHECK(atlas::source::try_open("/nowhere")
              .and_then([](auto source) { return atlas::projection::try_create(source); })
              .status() == atlas::status::io);

    // Handles move, and one that was moved from refuses.
    auto first = projection.snapshot();
    auto second = std::move(first);
    CHECK(second && !first && first.get() == nullptr);
    CHECK_STATUS(invalid_argument, first.root());
    CHECK_STATUS(invalid_argument, first.extract({0, 1}));
    second = projection.snapshot();
    atlas::projection third_handle(second.release());
    CHECK(!second && third_handle.root() == projection.root());
    CHECK(atlas::source().size() == 0 && atlas::pool().threads() == 0);
    static_assert(!std::is_copy_constructible_v<atlas::projection> && std::is_nothrow_move_constructible_v<atlas::shard>);
}

// A vector that counts its copies and moves.
struct counted : bytes {
    static inline int copies = 0, alive = 0;
    explicit counted(bytes data) : bytes(std::move(data)) { alive++; }
    counted(const counted &other) : bytes(other) { copies++, alive++; }
    counted(counted &&other) noexcept : bytes(std::move(other)) { alive++; }
    ~counted() { alive--; }
};

void sources(const folder &in)
{
    const auto data = make_data(2 * tile + 5);
    const auto root = atlas::projection::create(atlas::source::copy(data)).root();
    const auto root_of = [](const atlas::source &source) { return atlas::projection::create(source).root(); };

    {
        counted mine(data);
        const auto *place = mine.data();
        const auto projection = atlas::projection::create(atlas::source::own(std::move(mine)));
        CHECK(counted::copies == 0 && counted::alive == 2 && mine.empty() && place != nullptr);
        CHECK(projection.root() == root && bytes_of(projection) == data);
    }
    CHECK(counted::alive == 0);
    CHECK(root_of(atlas::source::own(std::string(data.begin(), data.end()))) == root);
    std::vector<std::uint64_t> numbers(100);
    std::iota(numbers.begin(), numbers.end(), 0u);
    CHECK(atlas::source::borrow(numbers).size() == 800);

    std::atomic<int> released = 0;
    {
        const auto projection = atlas::projection::create(atlas::source::borrow(data, [&] { released++; }));
        CHECK(released == 0 && projection.root() == root);
    }
    CHECK(released == 1);

    write(in / "source", data);
    for (const auto io : {atlas::file_io::read, atlas::file_io::automatic, atlas::file_io::mmap}) {
        if (io != atlas::file_io::mmap || atlas::has(atlas::feature::streaming)) {
            CHECK(root_of(atlas::source::open(in / "source", io)) == root);
        }
    }
    CHECK(root_of(atlas::source::open((in / "source").string())) == root);
    CHECK(root_of(atlas::source::open((in / "source").c_str())) == root);
    CHECK(root_of(atlas::source::open(std::string_view((in / "source").string()))) == root);

    std::FILE *const file = std::fopen((in / "source").c_str(), "rb");
    const auto by_fd = atlas::source::open_fd(fileno(file));
    std::fclose(file);
    CHECK(root_of(by_fd) == root);
    CHECK(ERROR_OF(atlas::source::open_fd(-1)).os_error() == EBADF);

    const auto reading = [&](std::uint64_t offset, atlas::bytes_span to) {
        std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
    };
    CHECK(root_of(atlas::source::from_callback(data.size(), reading)) == root);

    const auto whole = atlas::source::borrow(data);
    CHECK(whole.size() == data.size());
    const auto head = whole.range(0, 1000), tail = whole.range(1000, data.size() - 1000);
    CHECK(root_of(atlas::source::concat(head, tail)) == root);
    std::vector<atlas::source> parts;
    parts.push_back(whole.range(0, 1000));
    parts.push_back(whole.range(1000, data.size() - 1000));
    CHECK(root_of(atlas::source::concat(parts)) == root);
    CHECK_STATUS(out_of_range, whole.range(1, data.size()));
}

void operations()
{
    const auto data = make_data(5 * tile);
    const auto source = atlas::source::borrow(data);
    const auto create = [&](const atlas::operation &op) {
        return atlas::projection::create(source, atlas::projection_type::linear, {}, op);
    };
    const auto root = create({}).root();

    // Progress, on this thread, to the end and never back.
    std::vector<atlas::progress_state> told;
    const auto here = std::this_thread::get_id();
    const auto projection = create(atlas::operation{}.threads(2).progress([&](const atlas::progress_state &at) {
        CHECK(std::this_thread::get_id() == here);
        told.push_back(at);
    }));
    CHECK(projection.root() == root && told.size() >= 5);
    CHECK(std::is_sorted(told.begin(), told.end(), [](auto &a, auto &b) { return a.bytes_done < b.bytes_done; }));
    CHECK(told.back().bytes_done == data.size() && told.back().bytes_total == data.size());
    CHECK(told.back().chunks_done == 5 && told.back().chunks_total == 5);

    int calls = 0;
    CHECK_STATUS(cancelled, create(atlas::operation{}.progress([&](auto &) { return ++calls < 3; })));
    CHECK(calls == 3);
    CHECK_STATUS(cancelled, create(atlas::operation{}.stop_when([] { return true; })));
    CHECK_STATUS(limit, create(atlas::operation{}.memory_limit(1000)));

    // A pool of the program, and one that could not be made.
    const auto pool = atlas::pool::create(3);
    CHECK(pool.threads() == 3);
    auto on_pool = atlas::operation{}.pool(pool);
    CHECK(create(on_pool).root() == root);
    const std::vector<atlas::region> parts = {{0, 10}, {tile, 10}};
    const auto strategy = atlas::extract_options().strategy(atlas::parallel_strategy::pool).max_threads(2).chunk_size(3);
    CHECK(projection.extract_batch(parts, strategy, on_pool).size() == 2);
    CHECK_STATUS(invalid_argument, projection.extract_batch(parts, strategy));
    const auto impossible = atlas::operation{}.threads(5000);
    CHECK_STATUS(invalid_argument, create(impossible));
    CHECK_STATUS(invalid_argument, projection.verify(impossible));
    // It is copied with its threads.
    const auto copied = [] { return atlas::operation{}.threads(1); }();
    projection.verify(copied);
}

void exceptions()
{
    const auto data = make_data(4 * tile);
    const auto source = atlas::source::borrow(data);
    const auto linear = atlas::projection_type::linear;
    const auto projection = atlas::projection::create(source);

    // From progress, in each of the two forms.
    const auto throws = [](int number) {
        return atlas::operation{}.progress([number](auto &) { throw thrown_here{number}; });
    };
    CHECK(NUMBER_OF(atlas::projection::create(source, linear, {}, throws(1))) == 1);
    CHECK(NUMBER_OF(atlas::projection::try_create(source, linear, {}, throws(2))) == 2);
    CHECK(NUMBER_OF(projection.verify(throws(3))) == 3);
    CHECK(NUMBER_OF(projection.extract_batch(std::vector<atlas::region>{{0, 2 * tile}}, {}, throws(4))) == 4);
    projection.verify();

    // From a read callback, on other threads too; the next call reads again.
    std::atomic<int> from_now = 0;
    const auto reader = [&](std::uint64_t offset, atlas::bytes_span to) {
        if (from_now != 0 && offset >= tile) {
            throw thrown_here{from_now};
        }
        std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
    };
    const auto called = atlas::source::from_callback(data.size(), reader);
    const auto other = atlas::source::from_callback(data.size(), [](std::uint64_t, atlas::bytes_span) { throw thrown_here{7}; });
    auto read = atlas::projection::create(called, linear, {}, atlas::operation{}.threads(2));
    CHECK(read.root() == projection.root());
    from_now = 5;
    CHECK(NUMBER_OF(read.verify(atlas::operation{}.threads(4))) == 5);
    CHECK(NUMBER_OF(read.try_verify()) == 5);
    CHECK(NUMBER_OF(atlas::projection::create(other)) == 7);
    from_now = 6;
    CHECK(NUMBER_OF(read.extract({tile, 1})) == 6);
    CHECK(NUMBER_OF(read.read(tile, bytes(10))) == 6);
    CHECK(NUMBER_OF(atlas::projection::create(atlas::source::concat(called, other))) == 6);
    // A search for damage meets it too, with and without one who is told.
    CHECK(NUMBER_OF(read.find_damage()) == 6);
    CHECK(NUMBER_OF(read.each_damage([](auto &) {})) == 6);
    from_now = 0;
    read.verify();
    CHECK(read.extract({tile, 1}).info().root == projection.root());

    // An int is an errno value.
    const auto coded = atlas::source::from_callback(10, [](std::uint64_t, atlas::bytes_span) { return ETIMEDOUT; });
    CHECK(ERROR_OF(atlas::projection::create(coded)).os_error() == ETIMEDOUT);

    // From a damage callback.
    auto hurt = data;
    const auto borrowed = atlas::projection::create(atlas::source::borrow(hurt));
    hurt[tile + 3] ^= 1;
    CHECK(NUMBER_OF(borrowed.each_damage([](auto &) { throw thrown_here{8}; })) == 8);

    // From a stream, which is done with then.
    auto stream = atlas::stream::open(source, atlas::stream_config().chunk_size(tile), linear, {}, throws(9));
    CHECK(NUMBER_OF(stream.next()) == 9);
    CHECK_STATUS(state, stream.next());
    // One that fails without an exception gives an error.
    auto cancelled = atlas::stream::open(source, atlas::stream_config().chunk_size(tile), linear, {},
                                         atlas::operation{}.progress([](auto &at) { return at.chunks_done < 2; }));
    CHECK(cancelled.next() && cancelled.try_next().status() == atlas::status::cancelled);
}

void shards()
{
    const auto data = make_data(3 * tile + 17);
    const auto projection = atlas::projection::create(atlas::source::borrow(data));
    const auto root = projection.root();
    const auto shard = projection.extract({5000, 70000});
    const auto info = shard.info();
    CHECK(info.type == atlas::projection_type::linear && info.domain_size == data.size() && info.region.offset == 5000);
    CHECK(info.region.length == 70000 && info.payload_size == 70000 && info.root == root && !info.keyed);
    CHECK(info.residue == std::accumulate(data.begin() + 5000, data.begin() + 75000, 0u) % 96);
    CHECK(shard.data() == atlas::bytes_view(data).part(5000, 70000));
    std::array<std::uint8_t, 100> part;
    shard.read(6000, part);
    CHECK(atlas::bytes_view(part) == atlas::bytes_view(data).part(6000, 100));
    CHECK_STATUS(out_of_range, shard.read(4999, part));

    auto travelled = shard.serialize();
    const auto arrived = atlas::shard::deserialize(travelled, root);
    arrived.verify(root);
    CHECK(arrived.data() == shard.data());
    CHECK_STATUS(witness, atlas::shard::deserialize(travelled, atlas::digest()));
    CHECK_STATUS(witness, arrived.verify(atlas::verify_options().expected_root(atlas::digest())));
    CHECK_STATUS(limit, atlas::shard::deserialize(travelled, root, atlas::limits().max_payload_size(100)));
    CHECK_STATUS(limit, atlas::shard::deserialize(travelled, root, atlas::limits().max_proof_size(10)));
    travelled[travelled.size() / 2] ^= 1;
    CHECK(!atlas::shard::try_deserialize(travelled, root));

    // Keyed.
    const atlas::secret_key key(std::array<std::uint8_t, 32>{1, 2, 3});
    const auto keyed = atlas::projection::create(atlas::source::borrow(data), atlas::projection_type::linear,
                                                 atlas::projection_options().key(key));
    CHECK(keyed.info().keyed && keyed.root() != root);
    keyed.extract({0, 1}).verify(atlas::verify_options(keyed.root()).key(key));
    CHECK_STATUS(witness, keyed.extract({0, 1}).verify());

    // A batch.
    std::vector<atlas::region> regions;
    for (std::uint64_t at = 0; at < 300; at++) {
        regions.push_back({at * 10000, at});
    }
    const auto batch = projection.extract_batch(regions, atlas::extract_options().strategy(atlas::parallel_strategy::chunked));
    CHECK(batch.size() == 300 && batch[299].info().region.offset == 2990000 && batch[0].data().empty());

    // Compressed.
    bytes flat(200000, 7);
    const auto soft = atlas::projection::create(atlas::source::borrow(flat)).extract({0, flat.size()});
    if (atlas::has(atlas::feature::compression)) {
        const auto small = soft.compress(atlas::compression_config(atlas::compression_algorithm::deflate)
                                             .level(atlas::compression_level::best)
                                             .block_size(65536)
                                             .min_size_threshold(10)
                                             .max_compression_ratio(0.5)
                                             .preserve_conservation(true)
                                             .verify_integrity(true)
                                             .filter(atlas::compression_filter::automatic)
                                             .target(atlas::compression_target::balanced));
        const auto what = small.info();
        CHECK(what.algorithm == atlas::compression_algorithm::deflate && what.level == 9);
        CHECK(what.original_size == flat.size() && what.compressed_size < 2000 && what.residue == soft.info().residue);
        CHECK(soft.compress(atlas::compression_config(atlas::compression_algorithm::deflate).codec_level(1)).info().level == 1);
        bytes back(1000);
        small.read(1234, back);
        CHECK(std::count(back.begin(), back.end(), 7) == 1000);
        const auto again = atlas::compressed_shard::deserialize(small.serialize());
        CHECK(again.decompress(soft.info().root).data() == soft.data());
        CHECK_STATUS(witness, again.decompress(atlas::digest()));
        CHECK_STATUS(limit, atlas::compressed_shard::deserialize(small.serialize(), atlas::limits().max_payload_size(9)));

        auto manager = atlas::compression_manager::create(atlas::compression_algorithm::deflate);
        const auto many = manager.compress(batch);
        const auto same = manager.decompress(many, root);
        CHECK(many.size() == 300 && same.size() == 300 && same[200].data() == batch[200].data());
        const auto stats = manager.stats();
        CHECK(stats.compression_operations == 300 && stats.decompression_operations == 300);
        CHECK(stats.shards_compressed + stats.shards_stored == 300 && stats.average_ratio > 0);
        CHECK(stats.original_bytes == 299 * 300 / 2 && stats.compressed_bytes > 0 && stats.saved_bytes < stats.original_bytes);
    } else {
        CHECK_STATUS(unsupported, soft.compress());
    }
}

void classes_of_r96()
{
    const auto data = make_data(tile + 300);
    const auto projection = atlas::projection::create(atlas::source::borrow(data), atlas::projection_type::r96_fourier,
                                                      atlas::projection_options().r96_data_classes(3));
    const auto info = projection.info();
    CHECK(info.type == atlas::projection_type::r96_fourier && info.r96_data_classes == 3);
    const std::vector<std::uint8_t> wanted = {95, 40, 7};
    const auto shards = projection.extract_classes(wanted);
    CHECK(shards.size() == 3 && shards[0].info().has_class(95) && !shards[0].info().has_class(40));
    CHECK(!shards[0].info().has_class(96) && shards[0].info().r96_data_classes == 3);
    const auto last_tile = projection.extract_classes({7}, atlas::region{tile, 1});
    CHECK(last_tile[0].info().region.offset == tile && last_tile[0].info().region.length == 300);
    CHECK_STATUS(invalid_argument, projection.extract_classes({7, 7}));

    auto rebuilt = atlas::reconstruction::create(atlas::reconstruction_options().expected_root(projection.root()));
    CHECK(rebuilt.classes_needed() == 0 && rebuilt.missing().empty());
    rebuilt.add(shards[0]);
    CHECK(rebuilt.classes_needed() == 2 && !rebuilt.complete() && rebuilt.missing().size() == 1);
    CHECK_STATUS(incomplete, rebuilt.finish());
    rebuilt.add(shards[1]);
    rebuilt.add(shards[2]);
    CHECK(rebuilt.complete() && bytes_of(rebuilt.finish()) == data);
}

void projections(const folder &in)
{
    const auto data = make_data(5 * tile + 100);
    auto projection = atlas::projection::create(atlas::source::borrow(data));
    const auto info = projection.info();
    CHECK(info.type == atlas::projection_type::linear && info.domain_size == data.size() && info.tile_count == 6);
    CHECK(info.page_count == 1281 && info.width == 3 && info.height == 3 && info.canonical && !info.keyed);
    CHECK(info.residue == std::accumulate(data.begin(), data.end(), std::uint64_t(0)) % 96);
    CHECK((info.residue + info.correction) % 96 == 0 && info.r96_data_classes == 0);

    // Tiles are a range: counted, searched, walked back.
    const auto tiles = projection.tiles();
    CHECK(tiles.size() == 6 && !tiles.empty() && tiles.end() - tiles.begin() == 6);
    std::uint64_t total = 0, sum = 0;
    for (const atlas::tile_info &each : tiles) {
        CHECK(each.offset == total);
        CHECK(each.witness == atlas::digest::of(atlas::bytes_view(data).part(each.offset, each.length)));
        total += each.length;
        sum += each.residue;
    }
    CHECK(total == data.size() && sum % 96 == info.residue);
    const auto at = std::partition_point(tiles.begin(), tiles.end(),
                                         [](const atlas::tile_info &each) { return each.offset + each.length <= 3 * tile; });
    CHECK(at.index() == 3 && at->offset == 3 * tile && tiles[5].length == 100 && at[2].length == 100);
    CHECK(std::make_reverse_iterator(tiles.end())->length == 100);
    auto walked = tiles.begin();
    CHECK((*walked++).offset == 0 && walked == tiles.begin() + 1);
    CHECK((--walked) == tiles.begin() && (walked += 2) > tiles.begin() && (walked -= 1) <= walked && 1 + tiles.begin() == walked);
    CHECK(projection.tile(5).length == 100);
    CHECK_STATUS(out_of_range, projection.tile(6));

    projection.verify();
    projection.write_file(in / "written");
    CHECK(read(in / "written") == data);

    // The plane.
    CHECK(projection.tile_at(0.5, 1.5) == 3);
    projection.transform({2, 0, 10, 20});
    const auto box = projection.tile_bounds(3);
    CHECK(box.min_x == 10 && box.min_y == 22 && box.max_x == 12 && box.max_y == 24);
    CHECK(projection.tile_at(11, 23) == 3);

    // Edits, with undo, beside a model.
    auto model = data;
    const auto before = projection.snapshot();
    const auto root = projection.root();
    projection.configure_incremental(atlas::incremental_config().validate_conservation(true).enable_rollback(true).max_deltas(50));
    projection.insert(7, std::string_view("inserted"));
    model.insert(model.begin() + 7, {'i', 'n', 's', 'e', 'r', 't', 'e', 'd'});
    projection.update(100, 3, bytes{1, 2});
    model.erase(model.begin() + 100, model.begin() + 103);
    model.insert(model.begin() + 100, {1, 2});
    projection.erase(2 * tile, 1000);
    model.erase(model.begin() + 2 * tile, model.begin() + 2 * tile + 1000);
    projection.move(0, 10, 50);
    std::rotate(model.begin(), model.begin() + 10, model.begin() + 50);
    projection.apply(atlas::delta::insert(0, bytes{9}));
    model.insert(model.begin(), 9);
    projection.apply_batch({atlas::delta::erase(0, 1), atlas::delta::update(0, 1, bytes{8}), atlas::delta::move(0, 1, 2)});
    model.erase(model.begin());
    model[0] = 8;
    std::swap(model[0], model[1]);
    projection.insert_source(3, atlas::source::copy(bytes(10, 3)));
    model.insert(model.begin() + 3, 10, 3);
    CHECK(bytes_of(projection) == model && projection.history_len() == 9);
    const auto stats = projection.stats();
    CHECK(stats.total_updates == 9 && stats.insert_operations == 3 && stats.update_operations == 2);
    CHECK(stats.delete_operations == 2 && stats.move_operations == 2 && stats.rollbacks == 0);
    CHECK(stats.bytes_modified > 1000 && stats.conservation_violations == 0);
    const auto differs = projection.diff(before);
    CHECK(!differs.empty() && differs[0].offset == 0 && before.diff(before.snapshot()).empty());
    const auto fresh = atlas::projection::create(atlas::source::borrow(model));
    CHECK(projection.root() != root);
    projection.rollback(9);
    CHECK(projection.root() == root && bytes_of(projection) == data && projection.stats().rollbacks == 1);
    CHECK_STATUS(out_of_range, projection.rollback());
    projection.erase(0, 1);
    projection.optimize();
    CHECK(projection.root() == atlas::projection::create(atlas::source::borrow(atlas::bytes_view(data).part(1, data.size() - 1))).root());
    CHECK(before.root() == root && fresh.root() != root);

    // A projection that must sum to 0 mod 96.
    const bytes balanced = {90, 6};
    auto strict = atlas::projection::create(atlas::source::borrow(balanced), atlas::projection_type::linear,
                                            atlas::projection_options().conservation(atlas::conservation_policy::strict));
    CHECK_STATUS(conservation, strict.insert(0, bytes{1}));

    // Many differences: more than fit into the first list.
    auto other = make_data(40 * tile, 5);
    const auto one = atlas::projection::create(atlas::source::copy(other));
    for (std::size_t i = 0; i < 40; i += 2) {
        other[i * tile] ^= 1;
    }
    const auto many = atlas::projection::create(atlas::source::borrow(other)).diff(one);
    CHECK(many.size() == 20 && many[19].offset == 38 * tile && many[19].length == tile);
}

void damages(const folder &in)
{
    const auto data = make_data(3 * tile);
    const auto good = atlas::projection::create(atlas::source::borrow(data));
    CHECK(good.find_damage().intact());
    auto hurt = data;
    const auto projection = atlas::projection::create(atlas::source::borrow(hurt));
    hurt[2 * tile] ^= 1;
    const auto found = projection.find_damage();
    CHECK(!found.intact() && found.outcome == atlas::status::witness && found.ranges.size() == 1);
    CHECK(found.ranges[0].offset == 2 * tile && found.ranges[0].part == atlas::damage_part::data);
    CHECK(found.ranges[0].kind == atlas::damage_kind::differs && found.ranges[0].index == 2);
    // Some regions, none, and all of them: none is not all.
    CHECK(projection.find_damage({{0, 2 * tile}}).intact());
    CHECK(projection.find_damage(std::vector<atlas::region>()).intact());
    CHECK(!projection.find_damage(std::vector<atlas::region>{{2 * tile, 1}}).intact());
    CHECK(projection.each_damage([](auto &) {}) == atlas::status::witness);
    CHECK_STATUS(cancelled, projection.each_damage([](auto &) { return false; }));
    CHECK_STATUS(out_of_range, projection.find_damage({{data.size(), 1}}));

    write(in / "hurt", hurt);
    int asked = 0;
    CHECK_STATUS(witness, good.repair_file(in / "hurt", [&](auto &) { return ++asked == 0; }));
    CHECK(asked == 1 && read(in / "hurt") == hurt);
    CHECK(NUMBER_OF(good.repair_file(in / "hurt", [](auto &) { throw thrown_here{1}; })) == 1);
    CHECK(read(in / "hurt") == hurt);
    good.repair_file(in / "hurt", [](const atlas::damage &each) { return each.repairable; });
    CHECK(read(in / "hurt") == data);
}

void reconstructions(const folder &in)
{
    const auto data = make_data(2 * tile);
    const atlas::secret_key key(std::array<std::uint8_t, 32>{9});
    const auto projection = atlas::projection::create(atlas::source::borrow(data), atlas::projection_type::linear,
                                                      atlas::projection_options().key(key));
    auto options = atlas::reconstruction_options().key(key).spool_path(in / "spooled");
    auto rebuilt = atlas::reconstruction::create(options);
    for (std::uint64_t at = 0; at < data.size(); at += 65536) {
        if (at % 131072 != 0) {
            rebuilt.add(projection.extract({at, 65536}));
        }
    }
    const auto missing = rebuilt.missing();
    CHECK(missing.size() == 16 && missing[15].offset == 15 * 131072 && missing[15].length == 65536);
    for (const auto &each : missing) {
        rebuilt.add(projection.extract(each));
    }
    CHECK(rebuilt.finish().root() == projection.root() && read(in / "spooled") == data);
    auto small = atlas::reconstruction::create(atlas::reconstruction_options().key(key).max_domain_size(1000));
    CHECK_STATUS(limit, small.add(projection.extract({0, 1})));
}

void streams(const folder &in)
{
    const auto data = make_data(3 * tile + 50);
    const auto source = atlas::source::borrow(data);
    const auto root = atlas::projection::create(source).root();
    if (!atlas::has(atlas::feature::streaming)) {
        CHECK_STATUS(unsupported, atlas::stream::open(source));
        return;
    }
    const auto config = atlas::stream_config().chunk_size(tile).parallel_chunks(2).prefetch_chunks(1).chunk_overlap(10).io_buffer_size(65536);
    CHECK(atlas::projection::stream(source, config).root() == root);

    auto stream = atlas::stream::open(source, config);
    std::uint64_t next = 0, number = 0;
    for (const auto &chunk : stream) {
        CHECK(chunk.id == number && chunk.offset == next);
        CHECK(chunk.data == atlas::bytes_view(data).part(next, chunk.data.size()));
        CHECK(chunk.residue == std::accumulate(chunk.data.begin(), chunk.data.end(), 0u) % 96);
        next += chunk.data.size();
        number++;
        CHECK(chunk.overlap == atlas::bytes_view(data).part(next, std::min<std::size_t>(10, data.size() - next)));
        CHECK(stream.progress().bytes_done == next && stream.progress().chunks_total == 4);
    }
    CHECK(next == data.size() && number == 4 && stream.complete() && !stream.next());
    auto moved = std::move(stream);
    CHECK(moved && moved.finish().root() == root);
    CHECK_STATUS(state, moved.finish());
    // Its operation keeps its address when it moves, and gets reports to the end.
    int told = 0;
    auto telling = std::make_unique<atlas::stream>(atlas::stream::open(source, config, atlas::projection_type::linear, {}, atlas::operation{}.threads(2).progress([&](auto &) { told++; })));
    auto taken = std::move(*telling);
    telling.reset();
    CHECK(taken.finish().root() == root && told >= 4);

    auto pushed = atlas::stream::open_push(config);
    auto to_file = atlas::stream::open_push_file(in / "pushed", config);
    for (std::size_t at = 0; at < data.size(); at += 77777) {
        const auto part = atlas::bytes_view(data).part(at, std::min<std::size_t>(77777, data.size() - at));
        pushed.push(part);
        to_file.push(part);
    }
    CHECK(!pushed.complete() && pushed.finish().root() == root && pushed.complete());
    CHECK(!fs::exists(in / "pushed") && to_file.finish().root() == root && read(in / "pushed") == data);
    CHECK_STATUS(state, to_file.push(data));

    // The C handle of a stream comes with the data of its operation.
    auto given = atlas::stream::open(source, config);
    auto parts = given.release();
    CHECK(!given && parts.first != nullptr);
    const atlas::stream back(parts.first);
    CHECK(back.get() == parts.first);
}

void containers(const folder &in)
{
    const auto data = make_data(3 * tile);
    write(in / "base", data);
    auto box = atlas::container::create(in / "box", atlas::projection_type::linear,
                                        atlas::container_create_options().keep_chains().block_log2(12).id({1, 2, 3}).cache_size(1 << 20));
    CHECK(box.info().newest == 0 && box.info().writable && box.info().keeps_chains && box.info().block_size == 4096);
    CHECK(box.import_source(atlas::source::borrow(data), {}, atlas::commit_options().note("first").time(77)) == 1);
    auto projection = box.snapshot();
    projection.update(5, 3, bytes{1, 2, 3});
    CHECK(box.commit(projection, atlas::commit_options().expected(1).note(bytes{0, 255})) == 2);
    CHECK_STATUS(conflict, box.commit(projection, atlas::commit_options().expected(1)));
    const auto info = box.info();
    CHECK(info.newest == 2 && info.oldest == 1 && info.generation_count == 2 && info.id[2] == 3 && info.lost == 0);
    CHECK(info.type == atlas::projection_type::linear && info.conservation == atlas::conservation_policy::track);
    CHECK(info.file_size > data.size() && info.base_size == 0 && !info.keyed);
    const auto first = box.generation(1), second = box.generation();
    CHECK(first.time == 77 && first.note_size == 5 && first.domain_size == data.size() && first.tile_count == 3);
    CHECK(second.generation == 2 && second.previous == 1 && second.root == projection.root());
    CHECK(first.history != second.history && second.residue == projection.info().residue);
    CHECK(box.note(1) == "first" && box.note() == std::string("\0\xff", 2));
    CHECK(box.snapshot(1, true).root() == first.root && bytes_of(box.snapshot(1)) == data);
    CHECK_STATUS(out_of_range, box.snapshot(3));
    CHECK(box.find_damage().intact() && box.each_damage([](auto &) {}) == atlas::status::ok);

    // Other handles.
    auto reader = atlas::container::open(in / "box", atlas::container_mode::read, second.root,
                                         atlas::container_open_options().expected_history(second.history).max_domain_size(data.size()));
    CHECK_STATUS(state, atlas::container::open(in / "box", atlas::container_mode::write));
    CHECK_STATUS(witness, atlas::container::open(in / "box", atlas::container_mode::read, first.root));
    projection.erase(0, 1);
    box.commit(projection);
    CHECK(reader.info().newest == 2 && reader.refresh() == 3);
    CHECK(atlas::container::open_source(atlas::source::open(in / "box")).info().newest == 3);
    box.compact_to(in / "second", 2);
    CHECK(atlas::container::open(in / "second").info().oldest == 2);
    box.compact(3);
    CHECK(box.info().oldest == 3 && box.snapshot().root() == projection.root());

    // Damage, told and thrown.
    auto whole = read(in / "second");
    whole[whole.size() / 2] ^= 1;
    write(in / "damaged", whole);
    const auto damaged = atlas::container::open(in / "damaged", atlas::container_mode::read, {}, atlas::container_open_options().recover());
    const auto found = damaged.find_damage();
    CHECK(!found.intact() && !found.ranges.empty() && found.outcome == atlas::status::witness);
    CHECK(NUMBER_OF(damaged.each_damage([](auto &) { throw thrown_here{4}; })) == 4);

    // An outline, and the calls that need its base.
    const auto base = atlas::source::open(in / "base");
    auto outline = atlas::container::create(in / "outline", atlas::projection_type::linear, atlas::container_create_options().base(base));
    CHECK(outline.import_source(base) == 1 && outline.info().base_size == data.size() && outline.info().file_size < 100000);
    CHECK(outline.import_source(base, {{0, 1}}) == 2);
    CHECK(outline.import_source(base, std::vector<atlas::region>()) == 3);
    outline.clear_base();
    CHECK(outline.find_damage().outcome == atlas::status::incomplete);
    outline.set_base(base);
    CHECK(outline.find_damage().intact());
    CHECK_STATUS(conflict, atlas::container::merge({}, in / "none", {}, atlas::commit_options().expected(1)));

    // Parts become one.
    std::vector<atlas::container> parts;
    for (const char *name : {"part1", "part2"}) {
        parts.push_back(atlas::container::create(in / name, atlas::projection_type::linear,
                                                 atlas::container_create_options().compression(atlas::compression_config())));
        parts.back().import_source(atlas::source::borrow(atlas::bytes_view(data).part(0, tile)));
    }
    const auto merged = atlas::container::merge(parts, in / "merged");
    CHECK(merged.info().newest == 1 && merged.generation().domain_size == 2 * tile);
    auto twice = bytes(data.begin(), data.begin() + tile);
    twice.insert(twice.end(), data.begin(), data.begin() + tile);
    CHECK(merged.generation().root == atlas::projection::create(atlas::source::borrow(twice)).root());
}

void parities(const folder &in)
{
    auto data = make_data(tile);
    write(in / "data", data);
    const auto source = atlas::source::open(in / "data");
    if (!atlas::has(atlas::feature::parity)) {
        CHECK_STATUS(unsupported, atlas::parity::create(source, in / "data.atp"));
        return;
    }
    const auto options = atlas::parity_options().unit_size(4096).parity_columns(2).rows(16).id({7}).store_root().redundancy(625);
    atlas::parity::create(source, in / "data.atp", options);
    CHECK(ERROR_OF(atlas::parity::create(source, in / "data.atp", options)).os_error() == EEXIST);
    const auto root = atlas::projection::create(source).root();
    const auto parity = atlas::parity::open(in / "data.atp", root);
    const auto info = parity.info();
    CHECK(info.unit_size == 4096 && info.protected_size == tile && info.rows == 16 && info.parity_columns == 2);
    CHECK(info.data_columns == 16 && info.root == root && info.id[0] == 7 && !info.keyed && info.burst_size > 0);
    CHECK(info.parity_size == fs::file_size(in / "data.atp") && parity.check(source).intact());

    auto hurt = data;
    hurt[10000] ^= 1;
    write(in / "data", hurt);
    std::vector<atlas::damage> told;
    const auto report = parity.check(source, [&](const atlas::damage &each) { told.push_back(each); });
    CHECK(!report.intact() && report.data == atlas::parity_verdict::repairable && report.bad_units == 1);
    CHECK(report.parity == atlas::parity_verdict::intact && report.size == tile && report.damaged_rows == 1);
    CHECK(report.lost_rows == 0 && report.unknown_units == 0 && report.bad_blocks == 0 && report.bad_parity_units == 0);
    CHECK(told.size() == 1 && told[0].offset == 8192 && told[0].repairable && told[0].length == 4096);
    CHECK(parity.check(source).bad_units == 1);
    CHECK(NUMBER_OF(parity.check(source, [](auto &) { throw thrown_here{5}; })) == 5);

    parity.repair(in / "data", atlas::repair_options::new_file(in / "mended"));
    CHECK(read(in / "mended") == data && read(in / "data") == hurt);
    atlas::parity_report filled = {};
    CHECK_STATUS(witness, parity.repair(in / "data", atlas::repair_options::in_place(), [](auto &) { return false; }, {}, &filled));
    CHECK(filled.bad_units == 1 && filled.repaired_units == 0);
    CHECK(NUMBER_OF(parity.repair(in / "data", atlas::repair_options::in_place(), [](auto &) { throw thrown_here{6}; })) == 6);
    CHECK(read(in / "data") == hurt);
    CHECK(parity.repair(in / "data", atlas::repair_options::keep(in / "kept").partial()).repaired_units == 1);
    CHECK(read(in / "data") == data && read(in / "kept") == hurt);
    write(in / "data", hurt);
    CHECK(parity.repair(in / "data", atlas::repair_options::in_place(), [](auto &) {}).repaired_units == 1);
    CHECK(read(in / "data") == data);

    // The name is that of another file now.
    const auto mended = atlas::source::open(in / "data");
    parity.restore(mended, in / "again.atp");
    CHECK(read(in / "again.atp") == read(in / "data.atp"));
    std::fill_n(data.begin() + 5000, 10, std::uint8_t(1));
    write(in / "data", data);
    parity.update(mended, {{5000, 10}}, in / "newer.atp", atlas::parity_options().id({8}));
    CHECK(atlas::parity::open(in / "newer.atp").check(mended).intact());
}

void accelerators()
{
    CHECK_STATUS(invalid_argument, atlas::pool::create(1).accelerator());
    CHECK_STATUS(invalid_argument, atlas::source::from_cl_mem(atlas::pool::create(1), nullptr, 0, 1));
    // An OpenCL driver leaks, which sanitizers report.
    if (std::getenv("ATLAS_TEST_SMALL") != nullptr) {
        return;
    }
    const auto options = atlas::accelerator_options().name("").index(0).memory_limit(64 << 20).context(nullptr, nullptr);
    CHECK_STATUS(unsupported, atlas::pool::create_accelerated(atlas::accelerator_options().name("no such device")));
    // Any device, if there is one.
    auto made = atlas::pool::try_create_accelerated(options, 2);
    if (!made) {
        CHECK(made.error().status() == atlas::status::unsupported);
        return;
    }
    const auto pool = *std::move(made);
    const bytes data(5 * tile, 7);
    const auto op = atlas::operation().pool(pool);
    const auto source = atlas::source::borrow(data);
    const auto linear = atlas::projection_type::linear;
    CHECK(atlas::projection::create(source, linear, {}, op).root() == atlas::projection::create(source).root());
    const auto info = pool.accelerator();
    CHECK(!info.name.empty() && info.compute_units > 0 && info.memory_size > 0 && info.bytes_hashed > 0);
    CHECK_STATUS(invalid_argument, atlas::source::from_cl_mem(pool, nullptr, 0, 1));
}

void benchmarks()
{
    if (!atlas::has(atlas::feature::benchmarks)) {
        CHECK_STATUS(unsupported, atlas::benchmark_report::run());
        return;
    }
    const auto report = atlas::benchmark_report::run(
        atlas::benchmark_config().warmup_iterations(0).iterations(1).max_seconds(0.001).data_sizes({4096}));
    CHECK(report.size() > 3);
    const auto first = report.at(0);
    CHECK(!first.name.empty() && first.data_size == 4096 && first.iterations == 1 && first.min_ns > 0);
    CHECK(first.min_ns <= first.median_ns && first.mean_ns <= first.max_ns && first.stddev_ns == 0 && first.bytes_per_second > 0);
    CHECK_STATUS(out_of_range, report.at(report.size()));
    const auto csv = report.format(atlas::report_format::csv);
    CHECK(static_cast<std::size_t>(std::count(csv.begin(), csv.end(), '\n')) == report.size() + 1);
    CHECK(report.format(atlas::report_format::json).text().front() == '{');
    CHECK(report.format(atlas::report_format::text).text().find(first.name) != std::string_view::npos);
}

} // namespace

int main()
{
    const folder in;
    the_library();
    digests();
    errors();
    sources(in);
    operations();
    exceptions();
    shards();
    classes_of_r96();
    projections(in);
    damages(in);
    reconstructions(in);
    streams(in);
    containers(in);
    parities(in);
    accelerators();
    benchmarks();
    return failures != 0;
}
