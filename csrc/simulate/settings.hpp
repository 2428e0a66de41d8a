// Settings of simulated servers.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include "simulate/step_costs.hpp"

namespace infercost {

enum class SchedulerEngine : std::uint8_t { vllm, sglang, trtllm };
enum class RoutingRule : std::uint8_t { round_robin, least_loaded, prefix_aware };

// How SGLang reserves memory for tokens that are still to be generated.
struct OutputReserve {
    bool fixed_lengths = false;  // requests ignore the end of text: all of the rest is reserved
    double initial = 0.7;        // share of the rest that is reserved; falls by steps of decoding ...
    double least_share = 0.14;   // ... to this share of `initial` ...
    std::int64_t decay_steps = 600;
    std::int64_t most_tokens = 4096;  // what is reserved for one request
    std::int64_t retract_steps = 20;  // what the share is estimated for after memory ran out
};

// One server. Names in comments are those of vLLM, SGLang and TensorRT-LLM.
struct ServerSettings {
    std::shared_ptr<const StepCosts> costs;
    SchedulerEngine engine = SchedulerEngine::vllm;
    std::int64_t max_sequences = 256;  // max_num_seqs, max_running_requests, max_batch_size
    std::int64_t max_tokens = 8192;    // max_num_batched_tokens, max_prefill_tokens, max_num_tokens
    // vLLM: long_prefill_token_threshold. SGLang: chunked_prefill_size. TensorRT-LLM: unit of chunks. 0:
    // none.
    std::int64_t chunk_tokens = 0;
    bool chunked_prefill = true;  // enable_chunked_prefill, -, enable_chunked_context
    std::int64_t block_tokens = 16;
    std::int64_t blocks = 0;            // of the pool that hold tokens
    std::int64_t max_model_tokens = 0;  // prompt and output of a request; 0: no limit
    double watermark = 0;               // vLLM: share of the blocks that stay free when a request is admitted
    bool reserve_prompt = true;         // vLLM: scheduler_reserve_full_isl
    bool prefix_cache = false;
    bool by_priority = false;
    bool mixed_chunks = false;       // SGLang: enable_mixed_chunk
    bool evicts = false;             // TensorRT-LLM: MAX_UTILIZATION instead of GUARANTEED_NO_EVICT
    bool equal_progress = false;     // TensorRT-LLM: chunks of all prompts grow in turn, instead of in order
    std::int64_t recv_interval = 1;  // SGLang: steps of decoding between looks at arrivals
    OutputReserve reserve;
    std::int64_t drafts = 0;            // tokens that are drafted for a sequence and step
    std::vector<double> acceptance;     // of draft i if those before it were accepted; shape (drafts,)
    std::int64_t stream_interval = 1;   // tokens that are sent together
    bool first_token_buffered = false;  // whether that holds for the first token too
    double prefill_fill = 1;  // time of a chunk through all stages of a pipeline, over that of a step
    bool jumps = true;        // eventless steps at once; the results are the same
    std::int64_t tokens_each() const { return 1 + drafts; }
};

// Servers for prompts, which pass caches on to servers for decoding.
struct Transfer {
    std::int64_t prefill_servers = 0;  // the first of the servers; 0: no division
    double bytes_per_token = 0;
    double byte_per_s = 0;  // of one server for prompts; its transfers queue
    double handshake_s = 0;
    bool layerwise = false;  // the transfer runs beside the prefill's last step
};

struct RouterSettings {
    RoutingRule routing = RoutingRule::round_robin;
    // prefix_aware: the longest match counts if it covers this share of the prompt ...
    double match_share = 0.5;
    // ... unless loads differ by more than both.
    std::int64_t most_difference = 64;
    double most_ratio = 1.5;
};

struct ClientSettings {
    std::int64_t max_concurrency = 0;  // requests sent and not yet seen finished; 0: no limit
    double think_s = 0;                // before a slot of `max_concurrency` is used again
    double poll_s = 0;                 // results are seen at multiples of this after sending
    double timeout_s = std::numeric_limits<double>::infinity();
    double queue_timeout_s = std::numeric_limits<double>::infinity();  // for those not yet started
};

struct ClusterSettings {
    std::vector<ServerSettings> servers;
    RouterSettings router;
    Transfer transfer;
    ClientSettings client;
    // Servers that begin and end their steps together, in groups of so many, one after the other: copies of a
    // model that exchange tokens of experts wait for the slowest of them.
    std::int64_t lockstep = 1;
    std::uint64_t seed = 0;       // of accepted drafts
    std::int64_t samples = 2048;  // of the timeline: at most twice as many
};

std::string_view name_of(SchedulerEngine engine);
std::string_view name_of(RoutingRule routing);
SchedulerEngine parse_serving_engine(std::string_view name);
RoutingRule parse_routing(std::string_view name);

// Throw std::invalid_argument with what is wrong, and what to do.
void check(const ServerSettings& settings);
void check(const ClusterSettings& settings);

}  // namespace infercost
