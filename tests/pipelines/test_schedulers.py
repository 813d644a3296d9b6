"""Two oracles: diffusers' own objects, stepped directly, and a denoiser that is known exactly.

For data that is one normal distribution N(μ, s²) the best prediction at every noise level has a closed form, so any
sampler must end at that distribution, however it walks; no line of diffusers is needed to say so.
"""

import diffusers
import pytest
import torch

from pipelines.sampler_names import canonical
from pipelines.schedulers import SCHEDULERS, make_scheduler
from xattn.errors import BadModel, BadValue, UnknownName, Unsupported

STABLE_DIFFUSION = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
ZERO_SNR = STABLE_DIFFUSION | {
    "_class_name": "DDIMScheduler",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "set_alpha_to_one": True,
}
V = STABLE_DIFFUSION | {"prediction_type": "v_prediction", "timestep_spacing": "linspace"}
CONFIGS = {"sd": STABLE_DIFFUSION, "zero_snr": ZERO_SNR, "v": V}
PAIRS = [(name, "model") for name in SCHEDULERS] + [(n, "karras") for n, known in SCHEDULERS.items() if known.karras]
MEAN, SPREAD = 1.5, 0.5


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise(gens):
    return torch.cat([torch.randn((1, 4, 8, 8), generator=generator) for generator in gens])


def exact(scheduler, index, scaled, prediction):
    """What a perfect network says of `scaled` = a·x + b·noise, for x from N(MEAN, SPREAD²)."""
    timestep = scheduler.timesteps[index]
    inner = scheduler._inner  # the noise level is the scheduler's own to say, Karras ones too
    if hasattr(inner, "sigmas"):
        sigma = inner.sigmas[index].double()
        a = 1 / (sigma**2 + 1).sqrt()
        b = sigma * a
    else:
        a, b = inner.alphas_cumprod[int(timestep)].double().sqrt(), (1 - inner.alphas_cumprod[int(timestep)]).sqrt()
    x = scaled.double()
    clean = MEAN + a * SPREAD**2 * (x - a * MEAN) / (a**2 * SPREAD**2 + b**2)
    eps = (x - a * clean) / b
    return {"epsilon": eps, "v_prediction": a * eps - b * clean, "sample": clean}[prediction].float()


def walk(name, config, sigmas, steps, seeds=(0,)):
    scheduler = make_scheduler(name, config, sigmas, steps)
    gens = generators(*seeds)
    latents = noise(gens) * scheduler.init_noise_sigma
    expected = latents
    for index, timestep in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(latents, timestep)
        predicted = exact(scheduler, index, scaled, config.get("prediction_type", "epsilon"))
        latents, expected = scheduler.step(predicted, timestep, latents, gens)
    return latents, expected


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(("name", "sigmas"), PAIRS)
def test_a_perfect_network_is_followed_to_the_data(name, sigmas, config):
    latents, expected = walk(name, config, sigmas, 40, seeds=range(8))
    assert latents.shape == (8, 4, 8, 8)
    assert float(latents.mean()) == pytest.approx(MEAN, abs=0.08)
    # each step of an LCM begins again from noise, so it ends nearer to the mean
    assert float(latents.std()) == pytest.approx(SPREAD, abs=0.2 if name == "lcm" else 0.12)
    assert float((latents - expected).abs().max()) < 0.1, "the estimate ends where the latents end"


@pytest.mark.parametrize("sample_config", [STABLE_DIFFUSION | {"prediction_type": "sample"}])
@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "euler_a"])
def test_a_network_that_predicts_the_sample_is_followed_too(name, sample_config):
    latents, _ = walk(name, sample_config, "model", 20, seeds=(0, 1, 2))
    assert float(latents.mean()) == pytest.approx(MEAN, abs=0.15)


PEERS = {
    "ddim": (diffusers.DDIMScheduler, {}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler_a": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_sde": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": (diffusers.UniPCMultistepScheduler, {}),
    "lcm": (diffusers.LCMScheduler, {}),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(("name", "sigmas"), PAIRS)
def test_the_steps_are_diffusers_own(name, sigmas, config):
    cls, extra = PEERS[name]
    peer = cls.from_config(config, **extra, **({"use_karras_sigmas": True} if sigmas == "karras" else {}))
    peer.set_timesteps(7)
    ours = make_scheduler(name, config, sigmas, 7)
    assert torch.equal(ours.timesteps, peer.timesteps)
    assert ours.init_noise_sigma == float(peer.init_noise_sigma)
    mine, theirs = generators(5), torch.Generator().manual_seed(5)
    a = noise(mine) * ours.init_noise_sigma
    b = torch.randn((1, 4, 8, 8), generator=theirs) * peer.init_noise_sigma
    for timestep in peer.timesteps:
        predicted = torch.tanh(peer.scale_model_input(b, timestep) + timestep / 1000)
        assert torch.equal(ours.scale_model_input(a, timestep), peer.scale_model_input(b, timestep))
        a = ours.step(predicted, timestep, a, mine).latents
        arguments = {} if name == "unipc" else {"generator": theirs}
        b = peer.step(predicted, timestep, b, **arguments).prev_sample
        assert torch.equal(a, b)


@pytest.mark.parametrize(("name", "sigmas"), PAIRS)
def test_an_image_does_not_depend_on_its_batch(name, sigmas):
    together, _ = walk(name, ZERO_SNR, sigmas, 6, seeds=(3, 4, 5))
    for index, seed in enumerate((3, 4, 5)):
        alone, _ = walk(name, ZERO_SNR, sigmas, 6, seeds=(seed,))
        assert torch.equal(together[index : index + 1], alone)


@pytest.mark.parametrize("name", ["euler_a", "dpmpp_2m_sde", "lcm"])
def test_the_noise_of_stochastic_samplers_is_the_seeds(name):
    gens = generators(3)
    scheduler = make_scheduler(name, ZERO_SNR, "model", 6)
    latents = noise(gens)
    before = gens[0].get_state()
    scheduler.step(latents, scheduler.timesteps[0], scheduler.scale_model_input(latents, scheduler.timesteps[0]), gens)
    assert not torch.equal(before, gens[0].get_state())


@pytest.mark.parametrize("skipped", [0, 2])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("name", [name for name, known in SCHEDULERS.items() if known.takes_noise])
def test_a_step_with_given_noise_is_diffusers_with_that_noise(name, config, skipped):
    ours, theirs = (make_scheduler(name, config, "model", 5, skipped=skipped) for _ in range(2))
    latents = noise(generators(3, 4)) * ours.init_noise_sigma
    for index, timestep in enumerate(ours.timesteps):
        predicted = noise(generators(100 + index, 200 + index))
        drawn = noise(generators(index))[0]
        for scheduler in (ours, theirs):
            scheduler.scale_model_input(latents, timestep)
        expected = theirs.step(predicted, timestep, latents, generators(8, index)).latents
        moved = ours.step(predicted, timestep, latents, generators(8, 77), {1: drawn}).latents
        assert torch.equal(moved[0], expected[0]), "the other image goes on as it would alone"
        torch.testing.assert_close(moved[1], expected[1], rtol=1e-5, atol=1e-5 * ours.init_noise_sigma)
        latents = expected


@pytest.mark.parametrize("steps", [1, 2, 3, 61, 103, 121, 122, 201, 499, 769, 999, 1000])
@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "lcm"])
def test_there_are_as_many_steps_as_were_asked_for(name, steps):
    scheduler = make_scheduler(name, ZERO_SNR, "model", steps)
    assert len(scheduler.timesteps) == steps
    assert float(scheduler.timesteps[0]) == 999
    assert float(scheduler.timesteps[-1]) >= 0
    assert bool((scheduler.timesteps.diff() < 0).all())


@pytest.mark.parametrize("name", ["ddim", "euler", "dpmpp_2m", "unipc"])
def test_a_step_taken_back_leaves_a_walk_that_arrives(name):
    latents, _ = walk(name, ZERO_SNR, "model", 61, seeds=range(4))
    assert float(latents.std()) == pytest.approx(SPREAD, abs=0.08)


@pytest.mark.parametrize("name", [name for name, known in SCHEDULERS.items() if known.karras])
def test_karras_timesteps_that_repeat_are_walked_from_the_first(name):
    latents, _ = walk(name, STABLE_DIFFUSION, "karras", 300)
    assert bool(latents.isfinite().all())


@pytest.mark.parametrize(
    ("name", "change", "steps", "says"),
    [
        ("lcm", {}, 51, "The nearest that works is 50"),
        ("dpmpp_2m", {"timestep_spacing": "leading"}, 1000, "The nearest that works is 998"),
        ("unipc", {"timestep_spacing": "linspace"}, 1000, "The nearest that works is 999"),
        ("ddim", {"timestep_spacing": "leading"}, 1000, "The nearest that works is 999"),
        ("ddim", {"timestep_spacing": "leading"}, 1, "The nearest that works is 2"),
        ("euler", {"timestep_spacing": "linspace"}, 1, "The nearest that works is 2"),
        ("ddim", {"num_train_timesteps": 100}, 101, "The nearest that works is 99"),
    ],
)
def test_a_number_of_steps_that_cannot_work_is_refused_with_one_that_does(name, change, steps, says):
    with pytest.raises(BadValue, match=says) as caught:
        make_scheduler(name, STABLE_DIFFUSION | change, "model", steps)
    assert caught.value.parameter == "num_inference_steps"


@pytest.mark.parametrize(
    ("name", "config", "kind", "says"),
    [
        ("ddim", ZERO_SNR | {"prediction_type": "epsilon"}, BadModel, "zero signal"),
        ("euler_a", STABLE_DIFFUSION | {"prediction_type": "sample"}, Unsupported, "euler_a"),
        ("euler", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, Unsupported, "flow-matching"),
        ("unipc", STABLE_DIFFUSION | {"use_flow_sigmas": True}, Unsupported, "flow-matching"),
        ("ddim", STABLE_DIFFUSION | {"prediction_type": "v"}, BadModel, "prediction_type is 'v'"),
        ("ddim", STABLE_DIFFUSION | {"prediction_type": []}, BadModel, "prediction_type is"),
        ("ddim", STABLE_DIFFUSION | {"beta_schedule": "cosine"}, BadModel, "beta_schedule"),
        ("ddim", STABLE_DIFFUSION | {"beta_start": "small"}, BadModel, "beta_start"),
        ("ddim", STABLE_DIFFUSION | {"beta_end": float("nan")}, BadModel, "beta_end"),
        ("ddim", STABLE_DIFFUSION | {"num_train_timesteps": 0}, BadModel, "num_train_timesteps"),
        ("ddim", STABLE_DIFFUSION | {"trained_betas": [0.1]}, BadModel, "trained_betas"),
        ("ddim", STABLE_DIFFUSION | {"steps_offset": -1}, BadModel, "steps_offset"),
        ("ddim", STABLE_DIFFUSION | {"clip_sample": "no"}, BadModel, "clip_sample"),
        ("dpmpp_2m", STABLE_DIFFUSION | {"variance_type": "learned"}, Unsupported, "variance"),
    ],
)
def test_a_config_that_cannot_work_is_a_sentence(name, config, kind, says):
    with pytest.raises(kind, match=says):
        make_scheduler(name, config)


def test_latents_are_not_clipped_unless_the_model_says_so():
    silent = {key: value for key, value in STABLE_DIFFUSION.items() if key not in ("clip_sample", "steps_offset")}
    assert torch.equal(walk("ddim", silent, "model", 10)[0], walk("ddim", STABLE_DIFFUSION, "model", 10)[0])
    clipped, _ = walk("ddim", STABLE_DIFFUSION | {"clip_sample": True}, "model", 10)
    assert float(clipped.max()) <= 1.0


def test_a_model_that_asks_for_karras_sigmas_gets_them():
    asked = make_scheduler("euler", STABLE_DIFFUSION | {"use_karras_sigmas": True}, "model", 9)
    assert torch.equal(asked.timesteps, make_scheduler("euler", STABLE_DIFFUSION, "karras", 9).timesteps)


def test_a_scheduler_is_made_afresh():
    walk("dpmpp_2m", ZERO_SNR, "model", 5)
    one, other = (walk("dpmpp_2m", ZERO_SNR, "model", 5)[0] for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("said", "name", "sigmas"),
    [
        ("DDIM", "ddim", None),
        ("Euler", "euler", None),
        ("Euler a", "euler_a", None),
        ("euler_ancestral", "euler_a", None),
        ("k_euler_a", None, None),
        ("DPM++ 2M", "dpmpp_2m", None),
        ("dpm++ 2m karras", "dpmpp_2m", "karras"),
        ("dpmpp_2m_k", "dpmpp_2m", "karras"),
        ("DPM++ 2M SDE", "dpmpp_2m_sde", None),
        ("DPM++ 2M SDE Karras", "dpmpp_2m_sde", "karras"),
        ("dpmpp_2m_sde_gpu", "dpmpp_2m_sde", None),
        ("UniPC", "unipc", None),
        ("uni_pc", "unipc", None),
        ("uni_pc_bh2", "unipc", None),
        ("LCM", "lcm", None),
        ("DPMSolverMultistepScheduler", "dpmpp_2m", None),
        ("EulerAncestralDiscreteScheduler", "euler_a", None),
        ("  ddim ", "ddim", None),
        ("", None, None),
        ("DPM++ 3M", None, None),
        ("karras", None, None),
    ],
)
def test_schedulers_go_by_the_names_of_other_tools(said, name, sigmas):
    if name is None:
        with pytest.raises(UnknownName, match="Known: ddim, euler, euler_a"):
            canonical(said)
    else:
        assert canonical(said) == (name, sigmas)
