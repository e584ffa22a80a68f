"""PPO's learned critic: a small head that reads V(s_t) off the hidden states of the policy's own network. Imports
torch.

The head sees every layer's state at the token before, so that what the trunk knows early is not lost; the trunk does
not learn from it. It is trained beside the policy and saved with the run.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from vimpo_core import credit, losses
from vimpo_core.config import TrainConfig
from vimpo_core.lm import models, scores
from vimpo_core.lm.models import LanguageModel
from vimpo_core.mistake import Mistake

WIDTH = 128


class Critic(nn.Module):
    """Hidden states [..., F] -> V(s) [...], reward units. Untrained it says 0 everywhere."""

    def __init__(self, features: int, seed: int):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.norm = nn.LayerNorm(features)
            self.hidden = nn.Linear(features, WIDTH)
            self.value = nn.Linear(WIDTH, 1)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, states):
        return self.value(nn.functional.gelu(self.hidden(self.norm(states))))[..., 0]


class CriticLearner:
    """The head with its optimizer, trained beside the policy on the states of each batch."""

    def __init__(self, policy: LanguageModel, config: TrainConfig):
        self.policy, self.config = policy, config
        self.critic = make_critic(policy, config.seed)
        self.optimizer = torch.optim.Adam(self.critic.parameters(), lr=config.critic_lr, fused=True)

    def learn(self, states, old_values, rewards, completion_mask) -> dict[str, float]:
        """`critic_updates` updates towards the lambda-returns of the batch.

        Args:
            states: float [B, T, F]; old_values: V(s_t) when the batch was sampled, [B, T]; rewards: [B].

        Returns:
            critic_loss: mean over the updates, squared reward units; critic_explained: share of the variance of R over
                tokens that the V(s_t) before them explained (absent where R does not vary).
        """
        advantages = credit.gae(
            credit.critic_td_terms(old_values, completion_mask, rewards),
            completion_mask,
            self.config.gae_lambda,
        )
        returns, seen = old_values + advantages, []
        for _ in range(self.config.critic_updates):
            loss = losses.critic_loss(
                self.critic(states), old_values, returns, completion_mask, self.config.critic_clip
            )
            seen.append(loss.item())
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.critic.parameters(), self.config.max_grad_norm or math.inf)
            self.optimizer.step()
        return {"critic_loss": sum(seen) / len(seen)} | _explained(old_values, rewards, completion_mask)

    def state(self) -> dict[str, torch.Tensor]:
        """The head's tensors, as a snapshot keeps them."""
        return {models.CRITIC + k: t.detach().cpu().clone() for k, t in self.critic.state_dict().items()}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put a snapshot's head in; a snapshot without one leaves the critic untrained. Mistake if it does not fit."""
        load_critic(self.critic, models.part(tensors, models.CRITIC))


def make_critic(policy: LanguageModel, seed: int) -> Critic:
    """An untrained head that fits the policy's network."""
    batch = scores.make_batch([(0,)], [(0,)], policy.pad_id, policy.device)
    with torch.no_grad():  # networks of other families have states of other widths: ask the network itself
        features = scores.completion_states(models.reference(policy), batch).shape[-1]
    return Critic(features, seed).to(policy.device)


def load_critic(critic: Critic, state: dict[str, torch.Tensor]) -> None:
    """Put saved tensors into the head; {} leaves it as it is. Raises Mistake if they do not fit."""
    if not state:
        return
    try:
        critic.load_state_dict(state)
    except RuntimeError as error:
        raise Mistake(
            "the saved critic does not fit the model. Use the model that the run was trained with."
        ) from error


@torch.no_grad()
def states_of(policy: LanguageModel, batch: scores.Batch) -> torch.Tensor:
    """What the critic reads of s_t before each completion token: every layer's hidden state, float [B, T, F],
    constant.
    """
    return scores.completion_states(models.network(policy), batch)


@torch.no_grad()
def values_of(critic: Critic, states: torch.Tensor, completion_mask: torch.Tensor) -> torch.Tensor:
    """V(s_t) before each token, float [B, T], reward units, 0 where masked."""
    values = critic(states)
    return torch.where(completion_mask, values, torch.zeros_like(values))


def _explained(values, rewards, completion_mask) -> dict[str, float]:
    returns = rewards[:, None].expand_as(values)[completion_mask]
    spread = returns.var(unbiased=False)
    if not spread > 0:
        return {}
    error = (returns - values[completion_mask]).var(unbiased=False)
    return {"critic_explained": float(1 - error / spread)}
